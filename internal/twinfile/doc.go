// Package twinfile does what a frontend.Twins needs, for front-ends whose files are
// descriptors of the monitor.
package twinfile
