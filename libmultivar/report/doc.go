// Package report describes a divergence: one structure, [Divergence], from which
// both the text for people and the JSON for programs are made.
//
// Everything in a report comes from variants, which may be under an attacker's
// control: lengths are bounded and no text reaches a terminal without its control
// characters escaped.
package report
