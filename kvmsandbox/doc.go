// Package kvmsandbox is the front-end that runs each process of a variant in a
// virtual machine of its own: the program in ring 3 of the guest, a few
// instructions that report what it does in ring 0, and no kernel in between.
//
// The process that owns the machine is the variant host (package vhost). The guest
// sees memory at the addresses at which the process has it, so that the calls that
// the monitor lets through are made by the process with the program's own
// arguments. Everything else is done here: page tables, faults, exec, signals.
package kvmsandbox
