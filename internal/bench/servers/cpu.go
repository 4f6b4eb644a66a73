package servers

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// treeTime returns the processor time that the living threads of process pid and of its
// descendants have used (proc(5), schedstat). What ends while it looks counts for nothing.
func treeTime(pid int) time.Duration {
	var total time.Duration
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", pid))
	for _, task := range tasks {
		if b, err := os.ReadFile(filepath.Join(task, "schedstat")); err == nil {
			var ns int64
			if _, err := fmt.Sscan(string(b), &ns); err == nil {
				total += time.Duration(ns)
			}
		}
		b, err := os.ReadFile(filepath.Join(task, "children"))
		if err != nil {
			continue
		}
		for _, child := range strings.Fields(string(b)) {
			var id int
			if _, err := fmt.Sscan(child, &id); err == nil {
				total += treeTime(id)
			}
		}
	}
	return total
}
