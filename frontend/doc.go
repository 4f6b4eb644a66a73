// Package frontend is the wall between the back-end, which decides, and the
// front-ends, which catch what variants do and carry decisions out.
//
// A front-end catches system calls, time stamp reads, signals, forks, execs and
// exits of the variants and reports each to a [Monitor], which answers with a
// list of [Action] values. The monitor never blocks: a task that is given no
// action stays stopped until a later report, of whatever task, yields one for
// it. In the other direction the monitor reads and writes variant memory and
// grabs descriptors through the front-end's [Host].
//
// One front-end session and its monitor live on one goroutine: all methods of
// Monitor and Host are called from it and none of them needs locks.
package frontend
