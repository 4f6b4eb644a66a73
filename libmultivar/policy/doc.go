// Package policy says which calls of the leader wait until every variant has
// asked for the same.
//
// A policy never decides whether a call is compared: everything is. It decides
// when. A call that waits has no effect before all variants agree on it; a call
// that does not wait runs in the leader at once and a difference is seen after
// its effect.
package policy
