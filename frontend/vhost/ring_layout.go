package vhost

// A ring's parts, by their offsets from its start in a process that uses it: the
// monitor's page, a page of each reader, and the writer's page with the data behind it.
// src/ring.h says what they are for.
const (
	ringHead    = 0
	ringReaders = PageSize
	ringWriter  = (1 + MaxReaders) * PageSize
	ringData    = ringWriter + PageSize

	// MaxReaders is how many readers a ring can have.
	MaxReaders = 63
	// MaxRingSize bounds the data of a ring in bytes.
	MaxRingSize = 4 << 30

	// Offsets in the monitor's page.
	ringSize  = 0
	ringAhead = 8
	ringCount = 16
	ringSpin  = 20
	ringFlags = 24
	ringAbort = 64

	// Offsets in the pages of writer and readers.
	ringPos      = 0
	ringDone     = 8  // of readers
	ringReserved = 8  // of the writer
	ringLast     = 16 // of the writer
	ringAwaits   = 24 // of the writer
	ringAsleep   = 64
	ringWake     = 68
	ringFailed   = 72

	// Offsets in the header of a record.
	recordLength = 0
	recordSeq    = 8
	recordBack   = 16
	recordKind   = 24
	recordZero   = 28
	recordHeader = 32
	// maxRecord bounds the bytes of a record: the header and the fields of an event.
	maxRecord = eventHeader + 1<<32 - 1

	// Sizes in the encoding of libmultivar/event.
	eventVersion = 1
	eventHeader  = 16
	eventField   = 12
	// The first byte above the kinds of records, the first bit above the flags of
	// fields, and the flag of numbers.
	eventKinds  = 7
	eventFlags  = 32
	eventNumber = 16
)

// ringEnded is what a ring's word for aborts is when the writer has ended, and readers are to
// read what it has told.
const ringEnded = 2

// ringSpinOnly is a flag of a ring: who waits does not sleep.
const ringSpinOnly = 1

// ringLooks is a flag of what a party says of its sleep: it waits without.
const ringLooks = 0x100
