// Package durations counts how long things took, in few classes: so that quantiles are known
// to an eighth whatever the number of things, and so that those who count need not be those
// who ask. Agents count in C, in memory that the monitor reads.
package durations
