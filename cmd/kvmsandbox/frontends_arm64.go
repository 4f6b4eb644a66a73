package main

// otherMachine is the instruction set of front-ends that are not built in here.
const otherMachine = "x86-64"

// frontEnds returns all methods.
func frontEnds() methods {
	return methods{{name: "kvm", only: otherMachine}, {name: "inproc", only: otherMachine}, newPtrace()}
}
