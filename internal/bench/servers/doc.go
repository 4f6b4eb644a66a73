// Package servers compares ways to run a server by how many requests it answers.
//
// Who compares brings contenders, of which the first is the one that the others are compared with,
// and the package runs each server once in each of them, all at the same time, idle but
// for one. They take turns, a slice of time each, and before each contender's slice the
// first one has a slice of its own: what else happens on a machine, and how it changes,
// then hits both alike. What counts are ratios of neighbouring slices, their median and
// quartiles; rates of their own mean little.
package servers
