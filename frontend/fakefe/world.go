package fakefe

// World is a small Kernel: files that are read and written. Its calls are read,
// write, getrandom and sched_yield; others answer ENOSYS.
type World struct {
	// In holds what is read from each descriptor, Out what was written to it.
	In, Out map[int][]byte
	random  byte
}

var _ Kernel = (*World)(nil)

// NewWorld returns a World with empty files.
func NewWorld() *World { return &World{In: make(map[int][]byte), Out: make(map[int][]byte)} }

// Call implements Kernel.
func (w *World) Call(c *KernelCall) (int64, bool) {
	const (
		read      = 0
		write     = 1
		yield     = 24
		getrandom = 318
	)
	fd := int(int32(c.Args[0]))
	switch c.Nr {
	case read:
		n := min(uint64(len(w.In[fd])), c.Args[2])
		k := c.Write(c.Args[1], w.In[fd][:n])
		if uint64(k) < n {
			return errFault, true
		}
		w.In[fd] = w.In[fd][n:]
		return int64(n), true
	case write:
		p := c.Read(c.Args[1], int(min(c.Args[2], maxStrings)))
		if uint64(len(p)) < c.Args[2] {
			return errFault, true
		}
		w.Out[fd] = append(w.Out[fd], p...)
		return int64(len(p)), true
	case yield:
		return 0, true
	case getrandom:
		p := make([]byte, min(c.Args[1], 256))
		for i := range p {
			w.random += 101
			p[i] = w.random
		}
		return int64(c.Write(c.Args[0], p)), true
	}
	return errNoSys, true
}
