package unix

import (
	"bytes"
	"fmt"
	"os"
)

// FirstThreadDead reports whether the first thread of process pid has ended, though
// others of the process may live: it keeps its id until they have ended, too. An error
// says that there is no such process.
func FirstThreadDead(pid int) (bool, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/stat", pid, pid))
	if err != nil {
		return false, err
	}
	// The state is behind the name, which may contain anything (proc(5), stat).
	rest := b[bytes.LastIndexByte(b, ')')+1:]
	return len(rest) > 1 && (rest[1] == 'Z' || rest[1] == 'X'), nil
}
