package libmultivar

import "strings"

// foreignMemory returns the name of descriptor fd of the leader if it is an anonymous file
// (memfd_create(2)) that the program has not made: it was inherited or received, and is
// memory that a process outside shares. Followers can have copies of it, in which they
// would not see what that process writes: a program that waits for it would wait for ever
// in them.
func (e *Engine) foreignMemory(th *thread, fd int) (name string, foreign bool) {
	name = undeleted(e.fdName(th, fd))
	return name, strings.HasPrefix(name, "/memfd:") && !e.written[name] && len(e.written) < maxRemembered
}
