/*
 * What the variants run, by PROGRAM. None of them waits for ever when it runs alone, so a
 * state from which nothing goes on is the protocol's fault.
 *
 * computed(v,t): the thread comes to its next call; it computes for ever if this stays
 * false. program(v,t): what it does up to there. T(v,t).pc counts its calls.
 */

#ifndef HANDLED
#define HANDLED 0	/* signals from outside for thread 0, with a handler */
#endif
#ifndef IGNORED
#define IGNORED 0	/* and such that it ignores */
#endif
#ifndef WAITS
#define WAITS PAUSE	/* how thread 0 waits for its signal */
#endif

#define calls(c)	T(v,t).call = c; T(v,t).pc++

#if PROGRAM == 1
/* A mutex made of futexes, with a call inside. */
#define computed(v,t)	true
inline program(v, t) {
	if
	:: T(v,t).pc == 0 && word[v] == 0 -> word[v] = 1; T(v,t).pc = 2; T(v,t).call = PLAIN; inside[v]++
	:: T(v,t).pc == 0 && word[v] != 0 -> word[v] = 2; calls(FWAIT)
	:: T(v,t).pc == 1 && word[v] == 0 -> word[v] = 2; calls(PLAIN); inside[v]++
	:: T(v,t).pc == 1 && word[v] != 0 -> word[v] = 2; T(v,t).call = FWAIT
	:: T(v,t).pc == 2 ->
		assert(inside[v] == 1);
		inside[v]--;
		if
		:: word[v] == 2 -> calls(FWAKE)
		:: else -> T(v,t).pc = 4; T(v,t).call = EXIT
		fi;
		word[v] = 0
	:: T(v,t).pc == 3 -> calls(EXIT)
	fi
}

#elif PROGRAM == 2
/* Threads wait by looking at memory that thread 0 changes. */
#define computed(v,t)	(t == 0 || T(v,t).pc != 1 || word[v] == 1)
inline program(v, t) {
	if
	:: T(v,t).pc == 0 -> calls(PLAIN)
	:: T(v,t).pc == 1 && t == 0 -> word[v] = 1; calls(PLAIN)
	:: T(v,t).pc == 1 && t != 0 -> assert(word[v] == 1); calls(PLAIN)
	:: T(v,t).pc == 2 -> calls(EXIT)
	fi
}

#elif PROGRAM == 3
/* All kinds of calls that do not sleep. */
#define computed(v,t)	true
inline program(v, t) {
	if
	:: T(v,t).pc == 0 && t == 0 -> calls(WAIT)
	:: T(v,t).pc == 1 && t == 0 -> calls(RUN)
	:: T(v,t).pc == 2 && t == 0 -> calls(PLAIN)
	:: T(v,t).pc == 0 && t != 0 -> calls(SENS)
	:: T(v,t).pc == 1 && t != 0 -> calls(ANSWER)
	:: T(v,t).pc == 2 && t != 0 -> calls(WAIT)
	:: T(v,t).pc == 3 -> calls(EXIT)
	fi
}

#elif PROGRAM == 4
/* Thread 0 looks at what its handler has noted, and waits for a signal otherwise. */
#define computed(v,t)	true
inline program(v, t) {
	if
	:: T(v,t).pc == 0 -> calls(PLAIN)
	:: T(v,t).pc == 1 && t == 0 && !flag[v] -> T(v,t).call = WAITS
	:: T(v,t).pc == 1 && t == 0 && flag[v] -> calls(EXIT)
	:: T(v,t).pc == 1 && t != 0 -> calls(RUN)
	:: T(v,t).pc == 2 -> calls(EXIT)
	fi
}

#elif PROGRAM == 5
/* The same, and another thread sends the signal. */
#define computed(v,t)	true
inline program(v, t) {
	if
	:: T(v,t).pc == 0 && t == 0 && !flag[v] -> T(v,t).call = WAITS
	:: T(v,t).pc == 0 && t == 0 && flag[v] -> T(v,t).pc = 2; T(v,t).call = PLAIN
	:: T(v,t).pc == 0 && t == 1 -> calls(PLAIN)
	:: T(v,t).pc == 1 && t == 1 -> calls(TGKILL)
	:: T(v,t).pc == 0 && t == 2 -> T(v,t).pc = 2; T(v,t).call = PLAIN
	:: T(v,t).pc == 2 -> calls(EXIT)
	fi
}

#elif PROGRAM == 6
/* One thread ends the process while others compute, make calls, and sleep for ever. */
#define computed(v,t)	true
inline program(v, t) {
	if
	:: T(v,t).pc == 0 -> calls(PLAIN)
	:: T(v,t).pc == 1 && t == 0 -> calls(EXITALL)
	:: T(v,t).pc == 1 && t == 1 -> calls(RUN)
	:: T(v,t).pc == 1 && t == 2 -> calls(WAIT)
	:: T(v,t).pc == 2 && t == 1 -> word[v] = 2; calls(FWAIT)
	:: T(v,t).pc == 2 && t == 2 -> calls(PLAIN)
	:: T(v,t).pc == 3 && t == 2 -> calls(EXIT)
	:: T(v,t).pc == 3 && t == 1 -> calls(PLAIN)
	fi
}

#elif PROGRAM == 7
/* Thread 0 computes until its handler has run. */
#define computed(v,t)	(t != 0 || T(v,t).pc != 1 || flag[v])
inline program(v, t) {
	if
	:: T(v,t).pc == 0 -> calls(PLAIN)
	:: T(v,t).pc == 1 -> calls(PLAIN)
	:: T(v,t).pc == 2 -> calls(EXIT)
	fi
}
#endif

inline start() {
	i = 0;
	do
	:: i < NV ->
		T(i,0).st = USER;
		T(i,1).st = READY; T(i,1).ready = 1;
		run Runs(i, 0);
		run Runs(i, 1);
#if NT == 3
		T(i,2).st = READY; T(i,2).ready = 1;
		run Runs(i, 2);
#endif
		i++
	:: else -> break
	od;
	i = 0
}
