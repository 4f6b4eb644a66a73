// Package sysvipc asks the kernel what it knows about System V objects, for front-ends
// whose leader has them in common with the monitor.
package sysvipc
