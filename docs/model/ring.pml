/*
 * An event ring: one writer, NR readers. README.md says what this stands for.
 *
 * Each access to memory that another process writes is a step of its own. The byte at
 * position p has the value p+1, so that a reader knows which one it has read. There is
 * no time: who sleeps is woken, or sleeps for ever.
 */
#ifndef MUTANT
#define MUTANT	0
#endif
#ifndef NR
#define NR	2
#endif
#ifndef SIZE
#define SIZE	1
#endif
#ifndef AHEAD
#define AHEAD	2
#endif
#ifndef RECORDS
#define RECORDS	2
#endif
/* The second record is longer than the ring; the writer waits for all readers at it. */
#define length(r)	((r) == 1 -> SIZE+1 : 1)
#define waits(r)	((r) == 1)

#define W	NR	/* the writer, as a process and as the word that readers sleep on */

byte data[SIZE];
byte pos[NR+1];		/* what each process says of itself */
byte done[NR+1];
byte asleep[NR+1];	/* of the writer: 1 and the number of the reader; of a reader: 2 when it dozes */
bit failed[NR+1];
bit aborted, dead;

/* Of the word that a process sleeps on: whose it is, whether it has changed since the
 * process has read it, and whether the process sleeps. */
byte on[NR+1];
bit changed[NR+1], sleeps[NR+1];

inline read(me, w) {
	atomic { on[me] = w; changed[me] = 0 }
}

/* futex(2) */
#ifdef FAIL
/* The writer looks every 100 ms after readers for which it does not wait. */
#define over(me)	(!sleeps[me] || me == W && (failed[0] && on[W] != 0 || failed[NR-1] && on[W] != NR-1))
#else
#define over(me)	(!sleeps[me])
#endif

inline futexWait(me) {
	sleeps[me] = !changed[me];
	atomic { over(me) -> sleeps[me] = 0 }
}

/* A doze has a bound. It is of no use to a writer that sleeps: one that waits has to wake
 * who dozes. */
#define doze(me) \
	read(me, W); asleep[me] = 2; lookAtWriter(); \
	if \
	:: there \
	:: else -> \
		sleeps[me] = !changed[me]; \
		atomic { !sleeps[me] || !sleeps[W] -> sleeps[me] = 0 } \
	fi; \
	asleep[me] = 0

inline change(w) {
	d_step {
		f = 0;
		do
		:: f <= NR ->
			if
			:: on[f] == w -> changed[f] = 1
			:: else
			fi;
			f++
		:: else -> break
		od;
		f = 0
	}
}

inline futexWake(w) {
	d_step {
		f = 0;
		do
		:: f <= NR ->
			if
			:: on[f] == w -> sleeps[f] = 0
			:: else
			fi;
			f++
		:: else -> break
		od;
		f = 0
	}
}

/* ring_wake */
inline wake(w) {
#if MUTANT != 3
	/* MUTANT 3: who wakes does not change the word. */
	change(w);
#endif
	futexWake(w)
}

/* ring_give_up */
inline giveUp(me) {
	gone = 1;
	failed[me] = 1;
#if MUTANT != 13
	/* MUTANT 13: who fails tells nobody. */
	wake(me)
#endif
}

/* A process of a variant ends at any moment. */
#ifdef DIE
#define dies	:: atomic { !dead -> dead = 1; goto end }
#else
#define dies
#endif

/* sleep_on: look is what finds out whether there is what is waited for, and sets there. */
#if MUTANT == 1
/* It looks before it says that it is asleep: a processor does the same that reads before
 * what it has written is there for others. */
#define prepare(me, w, flag, look) \
	read(me, w); look; asleep[me] = (there -> 0 : flag)
#elif MUTANT == 4
/* It reads the word after it has looked whether it has to sleep. */
#define prepare(me, w, flag, look) \
	asleep[me] = flag; look; read(me, w)
#else
#define prepare(me, w, flag, look) \
	read(me, w); asleep[me] = flag; look
#endif
#define sleepOn(me, w, flag, look) \
	do \
	:: !there -> \
		prepare(me, w, flag, look); \
		if \
		:: there -> break \
		:: else -> futexWait(me) \
		fi \
	od; \
	asleep[me] = 0

#if MUTANT == 12
/* MUTANT 12: who waits does not look at the flag. */
#define abort	0
#else
#define abort	aborted
#endif

/* The writer. */

#define wakes(i, urges)	(asleep[i] == 1 || (urges) && asleep[i] == 2)

/* tell_readers: who waits urges those that doze. */
inline publish(urges) {
#if MUTANT == 2
	/* The flags are read before the position is there for others. */
	any = wakes(0, urges) || wakes(NR-1, urges);
	atomic { pos[W] = at; told = at };
#else
	atomic { pos[W] = at; told = at };
	any = wakes(0, urges) || wakes(NR-1, urges);
#endif
	if
	:: atomic { any -> any = 0 }; wake(W)
	:: else
	fi
}

#ifdef FAIL
#define peers	(failed[0] || failed[NR-1])
#else
#define peers	failed[i]
#endif

/* ring_there, note_reader: what a peer says of itself only grows, so it does not matter
 * that it is read at once here. */
inline lookAtReader() {
	atomic {
		assert(pos[i] >= seenPos[i] && pos[i] <= told && done[i] >= seenDone[i] && done[i] <= rec+1);
		if
		:: abort || peers -> there = 1; giveUp(W)
		:: else ->
			seenPos[i] = pos[i]; seenDone[i] = done[i];
			there = (pos[i] >= wantPos && done[i] >= wantDone)
		fi
	}
}

/* await_all, until readers have read up to wantPos and are done with wantDone. */
inline awaitAll() {
	atomic { i = 0; low = at };
	do
	:: i < NR && !gone ->
		lookAtReader();
		if
		:: !there ->
#if MUTANT == 5
			/* MUTANT 5: who waits for room keeps what has been put to itself. */
#elif MUTANT == 15
			/* MUTANT 15: who waits lets those doze that have not seen what is there. */
			publish(0);
#else
			publish(1);
#endif
			sleepOn(W, i, i+1, lookAtReader())
		:: else
		fi;
		atomic {
			there = 0;
			low = (seenPos[i] < low -> seenPos[i] : low);
#if MUTANT == 7
			/* MUTANT 7: the second reader is forgotten. */
			i = NR
#else
			i++
#endif
		}
	:: else -> break
	od;
	atomic { limit = low+SIZE; i = 0; low = 0; wantPos = 0; wantDone = 0 }
}

proctype Writer() {
	byte at, told, limit = SIZE, rec, n, i, f, low, wantPos, wantDone;
	byte seenPos[NR], seenDone[NR];
	bit there, gone, any;

	do
	:: atomic { rec < RECORDS && !gone -> n = length(rec) };
		/* ring_begin */
		if
		:: atomic { rec >= AHEAD -> wantDone = rec-AHEAD+1 }; awaitAll()
		:: else
		fi;
		do
#if MUTANT == 11
		/* What is not yet there is published. */
		:: n > 0 && !gone && limit != at -> at++; publish(0); atomic { data[(at-1)%SIZE] = at; n-- }
#else
		:: atomic { n > 0 && !gone && limit != at -> data[at%SIZE] = at+1; at++; n-- }
#endif
		:: atomic { n > 0 && !gone && limit == at -> wantPos = (at+1 > SIZE -> at+1-SIZE : 0) }; awaitAll()
		dies
		:: n == 0 || gone -> break
		od;
		if
		:: gone -> break
		:: else
		fi;
		publish(0);
		if
		:: atomic { waits(rec) -> wantDone = rec+1 };
			/* ring_await_readers */
			awaitAll();
			assert(gone || done[0] > rec && done[NR-1] > rec)
		:: else
		fi;
		rec++
	dies
	:: rec == RECORDS || gone -> break
	od;
end:	skip
}

/* A reader. */

/* tell_writer */
inline tell() {
	atomic { pos[_pid-1] = at; done[_pid-1] = rec; told = at };
#if MUTANT == 14
	/* A writer is woken only when it may be waiting for room. */
	any = (n > 0 && asleep[W] == _pid);
#else
	any = (asleep[W] == _pid);
#endif
	if
	:: atomic { any -> any = 0 }; wake(_pid-1)
	:: else
	fi
}

/* ring_there, note_writer */
inline lookAtWriter() {
	atomic {
		assert(pos[W] >= limit && pos[W]-told <= SIZE);
		if
		:: abort || failed[W] -> there = 1; giveUp(_pid-1)
		:: else -> limit = pos[W]; there = (limit > at)
		fi
	}
}

proctype Reader() {
	byte at, told, limit, rec, n, f;
	bit there, gone, any;

	do
	:: atomic { rec < RECORDS && !gone -> n = length(rec) };
		do
#if MUTANT == 10
		/* The room is given back before the bytes have been taken out of it. */
		:: n > 0 && !gone && limit != at -> at++; tell(); atomic { assert(data[(at-1)%SIZE] == at); n-- }
#else
		:: atomic { n > 0 && !gone && limit != at -> assert(data[at%SIZE] == at+1); at++; n-- }
#endif
		:: n > 0 && !gone && limit == at ->
			/* ring_piece */
			lookAtWriter();
			if
			:: !there ->
#if MUTANT != 6
				/* MUTANT 6: who waits for data keeps the room of those that it has had. */
				if
				:: told != at -> tell()
				:: else
				fi;
#endif
				if
				:: doze(_pid-1)
				:: skip
				fi;
				if
				:: !there -> sleepOn(_pid-1, W, 1, lookAtWriter())
				:: else
				fi
			:: else
			fi;
			there = 0
		dies
#ifdef FAIL
		/* It finds something wrong. */
		:: atomic { !gone && !failed[0] && !failed[NR-1] -> giveUp(_pid-1) }
#endif
		:: n == 0 || gone -> break
		od;
		if
		:: gone -> break
		:: else
		fi;
		/* ring_done */
		rec++;
		tell()
	dies
	:: rec == RECORDS || gone -> break
	od;
end:	skip
}

/* Ring.Abort: at any time, or when somebody is dead. */
proctype Monitor() {
	byte f, i;

#ifdef DIE
	if
	:: dead
	:: timeout -> goto end
	fi;
#endif
#if MUTANT != 9
	aborted = 1;
#endif
	i = 0;
	do
	:: i <= NR ->
#if MUTANT != 8
		/* MUTANT 8: nobody is woken. */
		wake(i);
#endif
		i++
	:: else -> break
	od;
#if MUTANT == 9
	/* They are woken before there is a reason. */
	aborted = 1;
#endif
end:	skip
}

init {
	atomic {
		/* Readers are processes 1 and on, whose numbers are one less. */
		byte n = 0;
		do
		:: n < NR -> run Reader(); n++
		:: else -> break
		od;
		run Writer();
#if defined(ABORT) || defined(DIE)
		run Monitor()
#endif
	}
}
