// Package event is the one encoding of what a variant did: the same bytes serve
// as the engine's form of comparison, as ring record, as trace record and, later,
// on the wire.
//
// A record is a header and a list of fields. A field is one thing that a variant
// asked for or got: a number, the bytes behind a pointer, a member of a
// structure. Values are canonical before they are encoded (addresses relative to
// the variant's slot, structures without padding), so two variants that ask for
// the same give the same bytes and comparing records is comparing bytes; [Diff]
// finds what differs when they do not.
//
// All numbers are little-endian. Records are hostile input to [Decode]: they may
// come from memory that a variant can write.
package event
