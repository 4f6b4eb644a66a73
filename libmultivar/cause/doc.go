// Package cause names the probable cause of a divergence, and says by what it goes.
//
// Each cause has a judge that looks at what differs and says how sure it is. The surest
// one wins; judges know nothing of each other but their strengths, which are in one list
// in this package. All they look at is hostile input.
package cause
