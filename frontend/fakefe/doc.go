// Package fakefe is a front-end that runs scripts in memory in place of
// programs, for tests of monitors and for examples.
//
// A [Program] is a list of steps: system calls with arguments and memory, time
// stamp reads, faults, children. Each scripted process has a small sparse memory
// of its own, signal dispositions, children and pending signals; calls about
// these are carried out by the package, everything else that the leader is let
// into is given to the [Kernel] of the [Config], which stands for the world
// outside. Nothing of the machine is touched.
//
// Tasks run one at a time. Which of them goes on next is the [Chooser]'s
// decision, at every stop, so that any interleaving of the variants can be
// explored and repeated.
//
// The package verifies that the monitor keeps to the contract of package
// frontend: actions only for tasks that are stopped in front of it, only
// operations that the stop allows, one resumption per stop, nothing for tasks
// whose end was reported, memory of stopped tasks only. What breaks it ends Run
// with a [*ContractError]. When no task can go on and nothing will ever be
// reported, Run ends with a [*DeadlockError].
//
// A [FrontEnd] is used from one goroutine at a time.
package fakefe
