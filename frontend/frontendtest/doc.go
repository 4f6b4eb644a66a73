// Package frontendtest is the conformance suite for front-ends: whatever
// implements frontend.FrontEnd must pass [Run].
//
// The suite runs small programs under monitors that it scripts, and verifies
// what the programs see and what the monitors are told. A front-end's own tests
// may use [Script] as well. Programs report what they
// see by calls that the monitor answers, so that they need no files: see [ReportFD].
// They are compiled from C when the suite runs, unless Options.Programs names
// executables (or, for a front-end that runs none, scripts) that do the same.
package frontendtest
