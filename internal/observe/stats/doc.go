// Package stats adds up what a session did into a table for its end.
package stats
