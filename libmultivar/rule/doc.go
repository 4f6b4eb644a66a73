// Package rule says which differences between variants a user expects and lets pass:
// parts of arguments that need not be the same, and sequences of harmless calls that one
// variant makes and another one does not.
//
// What no rule names exactly is a divergence. A rule that could let a variant change
// anything alone, or that the engine could not apply safely, is refused when it is read.
package rule
