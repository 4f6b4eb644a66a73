// Package manual is the one account of how the command kvmsandbox is called: its flags,
// the variables that it reads and its exit statuses. The text of --help, the manual page
// and the completions of shells are made of it.
package manual

//go:generate go run ../cmd/genmanual -d ../../docs
