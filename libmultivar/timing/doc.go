// Package timing says when the things happened that an engine tells its observer, and how
// long they took. The engine reads no clock; a [Tracker] reads the one that it is given.
//
// What is kept is the state of the threads that live. A Tracker is not safe for concurrent
// use: the engine calls it on the session's goroutine.
package timing
