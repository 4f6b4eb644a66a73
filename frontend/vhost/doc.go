// Package vhost is the variant host: the small C program inside each process of a
// variant, and the monitor's side of the memory by which the two talk.
//
// A front-end that does not trace its variants starts each of their processes as
// the variant host, which then maps the program, runs it, and makes the calls that
// the monitor orders. It decides nothing: the monitor fills a [Block] with a batch
// of calls and passes the turn; the task makes the calls, enters the guest if told
// so, and passes the turn back with an [Event].
//
// The program's source is in src. Its image is part of the package, so that users
// need no C compiler.
package vhost
