/*
 * The protocol by which the variants of one domain take turns, wait for each other and
 * get signals. README.md says what is left out, and which macros choose what is checked.
 *
 * A step is a report of a front-end, and all that the engine does about it, as in the Go
 * code: nothing else happens meanwhile. The engine's functions call each other in circles,
 * which inline macros cannot; so there is a stack of calls. A function pushes what it calls
 * in reverse order and returns. It has the name of the Go function that it stands for.
 *
 * Nothing is awaited in here that the engine does not look at: when a follower may go on,
 * but no function is called that lets it, it stays where it is, and that is a deadlock.
 */

#ifndef NV
#define NV 2		/* variants */
#endif
#ifndef NT
#define NT 2		/* threads */
#endif
#ifndef AHEAD
#define AHEAD 2		/* maxAhead */
#endif
#ifndef MUTANT
#define MUTANT 0
#endif

#define F	(NV-1)		/* followers */
#define RING	(AHEAD+2)	/* Killed is published without room */
#define NOBODY	NT
#define LEADER	0

/* What a program asks for. */
#define PLAIN	1	/* the leader makes it, followers get the result */
#define WAIT	2	/* as PLAIN, when all variants have asked for it */
#define RUN	3	/* every variant makes it */
#define SENS	4	/* as PLAIN, but the leader gets the result when all have asked */
#define ANSWER	5	/* nobody makes it */
#define FWAIT	6	/* FUTEX_WAIT, while the memory has the value 2 */
#define FWAKE	7	/* FUTEX_WAKE */
#define PAUSE	8	/* waits for a signal; the kernel's code is a restart */
#define POLL	9	/* waits for a signal; the kernel's code is EINTR */
#define TGKILL	10	/* sends thread 0 a signal */
#define SIGRET	11
#define EXIT	12
#define EXITALL	13
#define OTHER	14	/* what no other variant asks for */

#define blocks(c)	((c) == FWAIT || (c) == PAUSE || (c) == POLL)
#define awaits_events(c) ((c) == PAUSE || (c) == POLL)
#define may_signal(c)	((c) == PAUSE || (c) == POLL || (c) == TGKILL || (c) == SIGRET)
#define rendezvous(c)	((c) == WAIT || (c) == TGKILL || (c) == EXIT || (c) == EXITALL)
#define deadly(c)	((c) == EXIT || (c) == EXITALL)

/* Results. */
#define OK	0
#define AGAIN	1	/* EAGAIN of a futex whose value differs */
#define EINTR	2
#define RESTART	3	/* ERESTARTSYS, ERESTARTNOHAND */
#define NOINTR	4	/* ERESTARTNOINTR */

/* Where a task is. */
#define USER	0
#define KERNEL	1	/* let into a call */
#define REDO	2	/* on its way to make an interrupted call again */
#define ATENTRY	3
#define ATEXIT	4
#define ATSIGNAL 5
#define ATSTOP	6
#define READY	7
#define DEAD	8
#define stopped(s)	((s) == ATENTRY || (s) == ATSIGNAL || (s) == ATSTOP)

/* Events. */
#define CALL	0
#define SIGNAL	1
#define KILLED	2
#define PREEMPTED 3

/* Actions. */
#define A_RESUME 0
#define A_ANSWER 1
#define A_RUN	2
#define A_SIGNAL 3
#define A_INTERRUPT 4
#define A_KILL	5
#define A_STAY	6

typedef Task {
	byte st;
	byte pc;	/* where the program is, in front of its next call */
	byte call;	/* the call at which the task stands or that it makes */
	byte res;	/* result of the last call, for the program */
	byte act;	/* what turn in domainSide.ready has for it */
	byte ret;	/* and the result that comes with it */
	byte stays;
	byte next;
	byte again;	/* call to be made again behind the handler */
	byte fresh;	/* no instruction since the last call: 1; and a signal is there: 2 */
	bit handler;	/* in the handler, which blocks the signal */
	bit restarts;	/* the kernel has yet to decide about a restart */
	bit ready, met, inCall, ending, ended, exits;
	bit dying, halting;
}
Task task[NV*NT];
#define T(v,t)	task[(v)*NT+(t)]

typedef Event {
	byte kind, call, ret, met, passed;
	bit wait, started, done, answered, interrupted, over, sig, before, anywhere, withheld, keeps;
}
Event ev[NT*RING];
#define E(t,q)	ev[(t)*RING+((q)%RING)]

byte first[NT], count[NT];
bit settling[NT], held[NT], pending[NT];
#define position(t)	(first[t]+count[t])
#define last(t)		(first[t]+count[t]-1)
#define room(t)		(count[t] < AHEAD)
#define has(v,t)	(T(v,t).next >= first[t] && T(v,t).next < position(t))
#define event(v,t)	E(t,T(v,t).next)
#define there(t,q)	((q) >= first[t])
#define waits(v,t)	(T(v,t).met && !T(v,t).inCall && stopped(T(v,t).st) && event(v,t).done)

/* The domain. */
#define SCHED	(NT*(AHEAD+2)+2)
byte live[NV], runner[NV], repeated[NV];
byte schedT[SCHED], schedQ[SCHED];
byte schedFirst, schedLen;
byte turnT = NOBODY, turnQ;
byte aside = NOBODY;	/* was preempted: others have the next turn */

/* The order that an end of the process has among the other threads' events. */
bit order, made[NV];
byte orderT, orderQ;
byte placeQ[NT];
bit placeMet[NT];
#define isOrder(t,q)	(order && orderT == (t) && orderQ == (q))
#define placed(t)	(order && orderT != (t))
#define bound(v,t)	(placed(t) && !made[v] && placeQ[t] <= T(v,t).next)
#define early(v,t)	(placed(t) && T(v,t).st != DEAD && \
			 ((placeMet[t] && T(v,t).next == placeQ[t] && !T(v,t).met) || T(v,t).next < placeQ[t]))
#if NT == 2
#define awaits(v)	(early(v,0) || early(v,1))
#define behindAny(v)	(behind(v,0) || behind(v,1))
#else
#define awaits(v)	(early(v,0) || early(v,1) || early(v,2))
#define behindAny(v)	(behind(v,0) || behind(v,1) || behind(v,2))
#endif

/* The thread has yet to do in variant v what it had done when the leader was killed. */
#define behind(v,t)	(T(v,t).st != DEAD && !T(v,t).exits && \
			 ((!has(v,t) && T(LEADER,t).st != DEAD) || (has(v,t) && event(v,t).kind != KILLED)))

/* It has done all that, and does not compute any more. */
#if MUTANT == 14
#define doomed(v,t)	(!T(v,t).exits && T(v,t).st != DEAD && has(v,t) && event(v,t).kind == KILLED && event(v,t).done && T(v,t).met)
#else
#define doomed(v,t)	(!T(v,t).exits && T(v,t).st != DEAD && has(v,t) && event(v,t).kind == KILLED && event(v,t).done && \
			 (T(v,t).met || T(v,t).st == READY))
#endif

bit over;		/* Engine.ended */
bit freed[NT];		/* 0 between steps */
bit whole[NV];		/* the variant's process ends, not only a thread */

/* The leader's kernel: futexes (1: sleeps, 2: woken), a signal for thread 0. */
byte futex[NT];
bit signal;
bit ignored;		/* what the program does on it */
#define takes(t)	((t) == 0 && signal && !T(LEADER,0).handler)

/* The programs' memory, of each variant its own. */
byte word[NV], flag[NV], inside[NV];

/* What the programs of the leader did that not all followers have done yet, to see that
 * they do it in the same order. */
#define LOG	16
byte log[LOG], logged, seen[NV], before[NV];

/* Stack of calls. */
#define STACK	40
typedef Frame { mtype which; byte side, who, arg }
Frame stack[STACK];
byte sp;
/* Locals, 0 between steps. */
mtype fn;
byte v0, t0, x0, i;
bit taken;

#define push(f, a, b, c) \
	stack[sp].which = f; stack[sp].side = a; stack[sp].who = b; stack[sp].arg = c; sp++

mtype = { fMatch, fAdvance, fWithheld, fReached, fGoIfWaits, fGo, fResult, fPassed, fMade, fTrim, fGoOn, fPump, fLetGo, fSettle, fComplete, fLeaderCall, fPublished, fPublishedTo, fInterruptNow, fLastWords, fBind, fExited, fSkipDead, fLeaderExit, fFollowerExit, fLeaderSignal, fLeaderStop, fEnter, fStarted, fTake, fFreed, fEndKilled }

#ifdef ATTACK
#define may_diverge	attacked
bit attacked;
#else
#define may_diverge	false
#endif

inline diverge() {
	over = 1;
	assert(may_diverge)	/* a divergence without an attack */
}
inline leave(v, t) {
	live[v]--;
	T(v,t).ready = 0;
	if
	:: runner[v] == t -> runner[v] = NOBODY
	:: else
	fi
}

inline yield(v, t) {
	if
	:: runner[v] == t -> runner[v] = NOBODY
	:: else
	fi
}

inline newRecord(t, what) {
	count[t]++;
	assert(count[t] <= RING);
	E(t,last(t)).kind = what
}

inline clear(e) {
	d_step {
		e.kind = 0; e.call = 0; e.ret = 0; e.met = 0; e.passed = 0;
		e.wait = 0; e.started = 0; e.done = 0; e.answered = 0; e.interrupted = 0; e.over = 0;
		e.sig = 0; e.before = 0; e.anywhere = 0; e.withheld = 0; e.keeps = 0
	}
}

/* The handler starts: what becomes of the call in front of which it does. */
inline handle(v, t, code) {
	T(v,t).handler = 1;
	if
	:: code == NOINTR || code == RESTART && T(v,t).call == FWAIT -> T(v,t).again = T(v,t).call
	:: code == RESTART && T(v,t).call != FWAIT || code == EINTR -> T(v,t).res = EINTR
	:: else
	fi
}

/* Processes end by a signal or by exit_group. */
inline killAll(v) {
	d_step {
		whole[v] = 1;
		i = 0;
		do
		:: i < NT -> T(v,i).dying = (T(v,i).st != DEAD); i++
		:: else -> break
		od;
		i = 0
	}
}

/* Pushes f(v, t, x) for all threads. */
inline eachThread(f, v, x) {
	push(f, v, 0, x); push(f, v, 1, x);
#if NT == 3
	push(f, v, 2, x)
#endif
}

/* Pushes f(v, t, x) for all followers. */
inline eachFollower(f, t, x) {
#if NV == 3
	push(f, 2, t, x);
#endif
	push(f, 1, t, x)
}

inline schedAdd(t, q) {
	assert(schedLen < SCHED);
	schedT[(schedFirst+schedLen)%SCHED] = t;
	schedQ[(schedFirst+schedLen)%SCHED] = q;
	schedLen++
}

#if NV == 2
#define slowest	repeated[1]
#else
#define slowest	(repeated[1] < repeated[2] -> repeated[1] : repeated[2])
#endif

inline schedTrim() {
	do
	:: schedLen > 0 && schedFirst < slowest ->
		schedT[schedFirst%SCHED] = 0; schedQ[schedFirst%SCHED] = 0;
		schedFirst++; schedLen--
	:: else -> break
	od
}

#define contended(t)	(live[LEADER] > 1 && runner[LEADER] == (t) && othersReady(t))
#if NT == 2
#define othersReady(t)	(T(LEADER,0).ready || T(LEADER,1).ready)
#define users(v)	(inUser(v,0) + inUser(v,1))
#else
#define othersReady(t)	(T(LEADER,0).ready || T(LEADER,1).ready || T(LEADER,2).ready)
#define users(v)	(inUser(v,0) + inUser(v,1) + inUser(v,2))
#endif

/* The program does something in variant v: all variants do the same in the same order. */
inline note(v, what) {
#ifndef UNORDERED
	d_step {
	if
	:: v == LEADER ->
		log[logged%LOG] = what; logged++;
		i = 1;
		do
		:: i < NV ->
			if
			:: before[i] != 0 -> assert(before[i] == what); before[i] = 0; seen[i]++
			:: else
			fi;
			assert(logged-seen[i] < LOG);
			i++
		:: else -> break
		od;
		i = 0
	:: else ->
		if
		:: seen[v] < logged -> assert(log[seen[v]%LOG] == what); seen[v]++
		:: else -> assert(before[v] == 0); before[v] = what
		fi
	fi
	}
#else
	skip
#endif
}

#include "programs.pml"

/* A follower stands at a call, and the leader would come there, too, as it may whenever
 * others would have the turn: it may have had its time for that as well. */
#define at(v,t)		(T(v,t).st != ATSTOP && T(v,t).st != DEAD)
#define comesToCall(t)	((at(1,t) || at(F,t)) && computed(LEADER,t))

/* Carries out what is on the stack. */
inline engine() {
	do
	:: sp == 0 && taken -> break
	:: sp == 0 && !taken -> taken = 1; push(fTake, 0, 0, 0)
	:: else ->
		sp--;
		d_step {
			fn = stack[sp].which; v0 = stack[sp].side; t0 = stack[sp].who; x0 = stack[sp].arg;
			stack[sp].which = 0; stack[sp].side = 0; stack[sp].who = 0; stack[sp].arg = 0
		}
		printf("    %e: v%d t%d x%d\n", fn, v0, t0, x0);
		if
		:: over -> skip

		/* follower.go */
		:: !over && fn == fMatch ->
			if
			:: !has(v0,t0) || T(v0,t0).met -> skip
			:: else ->
				if
				:: event(v0,t0).kind == KILLED || event(v0,t0).anywhere -> skip
				:: event(v0,t0).kind == SIGNAL && event(v0,t0).before && T(v0,t0).st == ATENTRY -> skip
				:: event(v0,t0).kind == CALL && T(v0,t0).st == ATENTRY && T(v0,t0).call == event(v0,t0).call -> skip
				:: else -> diverge()
				fi;
				T(v0,t0).met = 1;
				event(v0,t0).met++;
				x0 = T(v0,t0).next;
				push(fGoIfWaits, v0, t0, x0);
				push(fReached, v0, t0, 0);
				push(fWithheld, 0, t0, x0);
#if MUTANT == 1
				/* The last follower to come does not let the leader go. */
				if
				:: event(v0,t0).wait -> skip
				:: else -> push(fAdvance, 0, t0, x0)
				fi
#else
				push(fAdvance, 0, t0, x0)
#endif
			fi
		:: !over && fn == fWithheld ->
			if
			:: there(t0,x0) && E(t0,x0).withheld && E(t0,x0).met == F ->
				E(t0,x0).withheld = 0;
				if
				:: T(LEADER,t0).st != DEAD -> push(fGoOn, LEADER, t0, A_RESUME)
				:: else
				fi
			:: else
			fi
		:: !over && fn == fGoIfWaits ->
			if
			:: T(v0,t0).next == x0 && waits(v0,t0) -> push(fGo, v0, t0, 0)
			:: else
			fi
		:: !over && fn == fGo ->
			x0 = T(v0,t0).next;
			if
			:: bound(v0,t0) -> skip
			:: !bound(v0,t0) && event(v0,t0).kind == KILLED ->
#if MUTANT == 2
				/* It does not wait for the other threads. */
				T(v0,t0).ending = 1;
				push(fLetGo, v0, t0, A_KILL);
				push(fPassed, v0, t0, 0)
#else
				skip	/* endKilled */
#endif
			:: !bound(v0,t0) && event(v0,t0).kind == PREEMPTED ->
				/* followerPreempted */
				if
				:: event(v0,t0).keeps && T(v0,t0).st == ATSTOP -> push(fLetGo, v0, t0, A_RESUME)
				:: event(v0,t0).keeps && T(v0,t0).st != ATSTOP -> push(fMatch, v0, t0, 0)
				:: !event(v0,t0).keeps && T(v0,t0).st == ATSTOP -> push(fGoOn, v0, t0, A_RESUME)
				:: else ->
					T(v0,t0).stays = T(v0,t0).st;
					push(fGoOn, v0, t0, A_STAY)
				fi;
				push(fPassed, v0, t0, 0)
			:: !bound(v0,t0) && event(v0,t0).kind == SIGNAL ->
				/* with followerHalted */
				T(v0,t0).ending = 1;
				T(v0,t0).ret = NOINTR;
				if
				:: T(v0,t0).st == ATENTRY -> push(fGoOn, v0, t0, A_INTERRUPT)
				:: else -> push(fGoOn, v0, t0, A_SIGNAL)
				fi;
				push(fPassed, v0, t0, 0)
			:: !bound(v0,t0) && event(v0,t0).kind == CALL ->
				if
				:: isOrder(t0,x0) && awaits(v0) -> skip
				:: else ->
					if
					:: !event(v0,t0).answered && deadly(event(v0,t0).call) ->
						if
						:: event(v0,t0).call == EXIT -> push(fGoOn, v0, t0, A_RUN)
						:: else -> push(fLetGo, v0, t0, A_RUN)
						fi;
						push(fPassed, v0, t0, 0);
						push(fLastWords, v0, t0, x0)
					:: !event(v0,t0).answered && (event(v0,t0).call == RUN || event(v0,t0).call == SIGRET) ->
						push(fEnter, v0, t0, x0)
					:: else -> push(fResult, v0, t0, A_ANSWER)
					fi
				fi
			fi
		:: !over && fn == fResult ->
			/* followerResult */
			T(v0,t0).ret = event(v0,t0).ret;
			if
			:: event(v0,t0).sig ->
				T(v0,t0).ending = 1;
				if
				:: event(v0,t0).call == SIGRET -> T(v0,t0).ret = OK
				:: else
				fi;
				push(fGoOn, v0, t0, A_INTERRUPT)
			:: else -> push(fGoOn, v0, t0, x0)
			fi;
			push(fPassed, v0, t0, 0)
		:: !over && fn == fFollowerExit -> push(fResult, v0, t0, A_RESUME)
		:: !over && fn == fLastWords ->
			T(v0,t0).ending = 1;
			T(v0,t0).exits = 1;
			if
			:: E(t0,x0).call == EXIT ->
#if MUTANT == 3
				/* The turn is up before the thread is gone. */
				T(v0,t0).ended = 1; leave(v0,t0); push(fPump, v0, 0, 0)
#else
				skip
#endif
			:: else ->
				i = 0;
				do
				:: i < NT ->
					T(v0,i).ending = 1; T(v0,i).exits = 1;
					if
					:: !T(v0,i).ended -> T(v0,i).ended = 1; leave(v0,i)
					:: else
					fi;
					i++
				:: else -> break
				od;
				i = 0;
				push(fPump, v0, 0, 0)
			fi

		/* state.go */
		:: !over && fn == fPassed ->
			x0 = T(v0,t0).next;
			T(v0,t0).met = 0; T(v0,t0).inCall = 0; T(v0,t0).next++;
			E(t0,x0).passed++;
			push(fTrim, 0, t0, 0);
			push(fReached, v0, t0, 0);
			if
			:: isOrder(t0,x0) -> push(fMade, v0, 0, 0)
			:: else
			fi
		:: !over && fn == fTrim ->
			do
			:: count[t0] > 0 && E(t0,first[t0]).done && E(t0,first[t0]).passed >= F && !(settling[t0] && count[t0] == 1) ->
				clear(E(t0,first[t0]));
				first[t0]++; count[t0]--
			:: else -> break
			od;
			if
#if MUTANT == 13
			/* The follower that has made room stands at its old call yet. */
			:: held[t0] && room(t0) -> held[t0] = 0; push(fLeaderCall, 0, t0, 0)
#elif MUTANT != 4
			/* MUTANT 4: nobody looks at a leader that waits for room. */
			:: held[t0] && room(t0) -> held[t0] = 0; freed[t0] = 1
#endif
			:: else
			fi

		/* order.go */
		:: !over && fn == fReached ->
			if
#if MUTANT != 5
			/* MUTANT 5: nobody tells the call that its target has come. */
			:: placed(t0) && !made[v0] && waits(v0,orderT) && T(v0,orderT).next == orderQ && !awaits(v0) -> push(fGo, v0, orderT, 0)
#endif
			:: else
			fi
		:: !over && fn == fMade ->
			made[v0] = 1;
			eachThread(fStarted, v0, orderT);
			if
			:: made[1] && made[F] -> order = 0
			:: else
			fi
		:: !over && fn == fStarted ->
			/* the target goes on, in made */
			if
			:: t0 != x0 && waits(v0,t0) -> push(fGo, v0, t0, 0)
			:: else
			fi
		:: !over && fn == fBind ->
			order = 1; orderT = t0; orderQ = x0;
			i = 1;
			do
			:: i < NV -> made[i] = (T(i,t0).st == DEAD || T(i,t0).next > x0); i++
			:: else -> break
			od;
			i = 0;
			do
			:: i < NT ->
				placeQ[i] = position(i); placeMet[i] = 0;
				if
				:: count[i] > 0 && !E(i,last(i)).done -> placeQ[i] = last(i); placeMet[i] = 1
#if MUTANT != 15
				/* MUTANT 15: the call waits for the end of a thread that waits for the call. */
				:: count[i] > 0 && E(i,last(i)).done && E(i,last(i)).kind == KILLED -> placeQ[i] = last(i)
#endif
				:: else
				fi;
				i++
			:: else -> break
			od;
			i = 0;
			if
			:: made[1] && made[F] -> order = 0
			:: else
			fi

		/* domain.go */
		:: !over && fn == fGoOn ->
#if MUTANT == 6
			/* A follower does not wait for its turn. */
			if
			:: live[v0] <= 1 || v0 != LEADER -> push(fLetGo, v0, t0, x0)
#else
			if
			:: live[v0] <= 1 -> push(fLetGo, v0, t0, x0)
#endif
			:: else ->
				yield(v0,t0);
				T(v0,t0).st = READY; T(v0,t0).act = x0; T(v0,t0).ready = 1;
				push(fPump, v0, 0, 0)
			fi
		:: !over && fn == fPump ->
			/* t0 becomes the thread that is chosen. */
			t0 = NOBODY;
			if
			:: runner[v0] != NOBODY -> skip
			:: runner[v0] == NOBODY && (live[v0] <= 1 || v0 == LEADER) ->
				/* The leader chooses anyone: that is more than choose does. */
				if
				:: T(v0,0).ready && (aside != 0 || live[v0] <= 1) -> t0 = 0
				:: T(v0,1).ready && (aside != 1 || live[v0] <= 1) -> t0 = 1
#if NT == 3
				:: T(v0,2).ready && (aside != 2 || live[v0] <= 1) -> t0 = 2
#endif
				:: else -> skip
				fi
			:: runner[v0] == NOBODY && live[v0] > 1 && v0 != LEADER ->
				/* repeat */
				if
				:: repeated[v0] < schedFirst+schedLen && T(v0,schedT[repeated[v0]%SCHED]).ready ->
					t0 = schedT[repeated[v0]%SCHED]
				:: else
				fi
			fi;
			if
			:: t0 == NOBODY -> skip
			:: else ->
				T(v0,t0).ready = 0;
				if
				:: live[v0] > 1 ->
					runner[v0] = t0;
					if
					:: v0 == LEADER ->
						aside = NOBODY;
						turnT = t0; turnQ = position(t0);
#if MUTANT == 7
						/* A turn is not recorded. */
						if
						:: t0 == 1 && turnQ == 1 -> skip
						:: else -> schedAdd(t0, turnQ)
						fi;
#else
						schedAdd(t0, turnQ);
#endif
						eachFollower(fPump, 0, 0)
					:: else ->
						/* followers repeat exactly the leader's choice */
						assert(schedQ[repeated[v0]%SCHED] == T(v0,t0).next);
						repeated[v0]++;
						schedTrim()
					fi
				:: else
				fi;
				push(fLetGo, v0, t0, T(v0,t0).act)
			fi
		:: !over && fn == fEnter ->
			if
			:: !blocks(E(t0,x0).call) && runner[v0] == NOBODY -> runner[v0] = t0
			:: else
			fi;
			T(v0,t0).inCall = 1;
			push(fLetGo, v0, t0, A_RUN)
		:: !over && fn == fLetGo ->
			if
			:: x0 == A_STAY || T(v0,t0).stays != 0 ->
				/* stay */
				T(v0,t0).st = T(v0,t0).stays; T(v0,t0).stays = 0;
				if
				:: T(v0,t0).st == ATENTRY -> yield(v0,t0)
				:: else
				fi;
				push(fPump, v0, 0, 0);
				push(fMatch, v0, t0, 0)
			:: else ->
				if
				:: x0 == A_RESUME ->
					if
					:: T(v0,t0).restarts -> T(v0,t0).st = REDO
					:: else -> T(v0,t0).st = USER
					fi
				:: x0 == A_ANSWER -> T(v0,t0).st = USER; T(v0,t0).res = T(v0,t0).ret; T(v0,t0).fresh = 1
				:: x0 == A_RUN ->
					T(v0,t0).st = KERNEL;
					if
					:: T(v0,t0).call == EXIT -> T(v0,t0).dying = 1
					:: T(v0,t0).call == EXITALL -> killAll(v0)
					:: else
					fi
				:: x0 == A_SIGNAL ->
					/* RESTART and EINTR are the kernel's, when it has one. */
					if
					:: T(v0,t0).restarts -> handle(v0, t0, T(v0,t0).ret); T(v0,t0).restarts = 0
					:: else -> handle(v0, t0, OK)
					fi;
					T(v0,t0).st = USER; T(v0,t0).fresh = 0
				:: x0 == A_INTERRUPT ->
					handle(v0, t0, T(v0,t0).ret);
					T(v0,t0).st = USER; T(v0,t0).fresh = 0
				:: x0 == A_KILL -> T(v0,t0).st = KERNEL; killAll(v0)
				fi;
				T(v0,t0).ret = OK; T(v0,t0).act = 0;
				if
				:: v0 == LEADER && takes(t0) && T(v0,t0).fresh == 1 -> T(v0,t0).fresh = 2
				:: else
				fi
			fi

		/* leader.go */
		:: !over && fn == fSettle ->
			if
			:: settling[t0] ->
				settling[t0] = 0;
				x0 = last(t0);
				if
				:: E(t0,x0).interrupted && !E(t0,x0).over -> skip
				:: else ->
					T(LEADER,t0).inCall = 0;
					push(fComplete, 0, t0, x0)
				fi
			:: else
			fi
		:: !over && fn == fComplete ->
			if
			:: !there(t0,x0) || E(t0,x0).done -> skip
			:: else ->
				E(t0,x0).done = 1;
				push(fTrim, 0, t0, 0);
#if MUTANT != 8
				/* MUTANT 8: a follower that is there already is not told. */
				eachFollower(fGoIfWaits, t0, x0)
#endif
			fi
		:: !over && fn == fLeaderCall ->
			T(LEADER,t0).ending = 0;
			x0 = last(t0);
			if
			:: T(LEADER,t0).inCall && E(t0,x0).interrupted ->
				if
				:: pending[t0] && !T(LEADER,t0).handler ->
					/* interruptAgain */
					pending[t0] = 0;
					E(t0,x0).sig = 1; E(t0,x0).over = 1;
					E(t0,x0).ret = (awaits_events(T(LEADER,t0).call) -> EINTR : NOINTR);
					T(LEADER,t0).inCall = 0;
					push(fInterruptNow, 0, t0, x0)
				:: else ->
					E(t0,x0).interrupted = 0;
					push(fEnter, LEADER, t0, x0)
				fi
			:: else ->
				T(LEADER,t0).inCall = 0;
				if
				:: !room(t0) -> held[t0] = 1
#if MUTANT == 9
				/* Calls that wait for events are made again behind the handler. */
				:: room(t0) && pending[t0] && !T(LEADER,t0).handler ->
#else
				:: room(t0) && pending[t0] && !T(LEADER,t0).handler && !awaits_events(T(LEADER,t0).call) ->
#endif
					/* interruptBefore */
					pending[t0] = 0;
					newRecord(t0, SIGNAL);
					x0 = last(t0);
					E(t0,x0).before = 1; E(t0,x0).sig = 1; E(t0,x0).started = 1; E(t0,x0).ret = NOINTR;
					push(fInterruptNow, 0, t0, x0);
					push(fPublished, 0, t0, x0)
				:: else ->
					newRecord(t0, CALL);
					x0 = last(t0);
					E(t0,x0).call = T(LEADER,t0).call;
					E(t0,x0).wait = rendezvous(T(LEADER,t0).call);
					E(t0,x0).answered = (T(LEADER,t0).call == ANSWER);
					if
					:: pending[t0] && !T(LEADER,t0).handler ->
						pending[t0] = 0;
						E(t0,x0).sig = 1; E(t0,x0).answered = 1; E(t0,x0).ret = EINTR
					:: else
					fi;
					push(fPublished, 0, t0, x0)
				fi
			fi
		:: !over && fn == fPublished ->
			push(fAdvance, 0, t0, x0);
			eachFollower(fPublishedTo, t0, x0)
		:: !over && fn == fPublishedTo ->
			if
			:: T(v0,t0).st == DEAD ->
				if
				:: E(t0,x0).kind == KILLED -> push(fSkipDead, v0, t0, 0)
				:: else -> diverge()
				fi
			:: T(v0,t0).st != DEAD && !T(v0,t0).met && T(v0,t0).next == x0 && stopped(T(v0,t0).st) -> push(fMatch, v0, t0, 0)
			:: else
			fi
		:: !over && fn == fAdvance ->
			if
			:: !there(t0,x0) || E(t0,x0).started || (E(t0,x0).wait && E(t0,x0).met < F) || T(LEADER,t0).st == DEAD -> skip
			:: else ->
				E(t0,x0).started = 1;
				if
				:: E(t0,x0).kind == PREEMPTED ->
					/* leaderPreempted */
					if
#if MUTANT == 16
					/* The leader goes on with its turn, and followers lose theirs. */
					:: comesToCall(t0) -> push(fLetGo, LEADER, t0, A_RESUME)
#else
					:: comesToCall(t0) -> E(t0,x0).keeps = 1; push(fLetGo, LEADER, t0, A_RESUME)
#endif
					:: true -> aside = t0; push(fGoOn, LEADER, t0, A_RESUME)
					fi;
					push(fComplete, 0, t0, x0)
				:: E(t0,x0).kind != PREEMPTED && E(t0,x0).answered && E(t0,x0).sig -> push(fInterruptNow, 0, t0, x0)
				:: E(t0,x0).kind != PREEMPTED && E(t0,x0).answered && !E(t0,x0).sig ->
					T(LEADER,t0).ret = E(t0,x0).ret;
					push(fGoOn, LEADER, t0, A_ANSWER);
					push(fComplete, 0, t0, x0)
				:: E(t0,x0).kind != PREEMPTED && !E(t0,x0).answered && deadly(E(t0,x0).call) ->
					push(fComplete, 0, t0, x0);
					if
					:: E(t0,x0).call == EXIT ->
						push(fLastWords, LEADER, t0, x0);
						push(fGoOn, LEADER, t0, A_RUN)
					:: else ->
						push(fBind, 0, t0, x0);
						push(fLastWords, LEADER, t0, x0);
						push(fEnter, LEADER, t0, x0)
					fi
				:: else -> push(fEnter, LEADER, t0, x0)
				fi
			fi
		:: !over && fn == fLeaderExit ->
			/* x0 is the result. */
			i = last(t0);
			if
			:: E(t0,i).call == SIGRET ->
				T(LEADER,t0).inCall = 0;
				settling[t0] = 1;
				push(fGoOn, LEADER, t0, A_RESUME)
			:: E(t0,i).call != SIGRET && x0 == RESTART ->
				E(t0,i).interrupted = 1; E(t0,i).ret = RESTART;
				settling[t0] = 1;
				T(LEADER,t0).restarts = 1; T(LEADER,t0).fresh = 1;
				push(fLetGo, LEADER, t0, A_RESUME)
			:: else ->
				E(t0,i).ret = x0;
				T(LEADER,t0).ret = x0;
				if
				:: x0 == EINTR || may_signal(E(t0,i).call) ->
					settling[t0] = 1;
					if
					:: x0 != EINTR -> T(LEADER,t0).inCall = 0
					:: else
					fi;
					push(fGoOn, LEADER, t0, A_ANSWER)
				:: else ->
					T(LEADER,t0).inCall = 0;
					/* Followers that have not asked hold back the result. */
					if
					:: E(t0,i).call == SENS && E(t0,i).met < F -> E(t0,i).withheld = 1
					:: else -> push(fGoOn, LEADER, t0, A_ANSWER)
					fi;
					push(fComplete, 0, t0, i)
				fi
			fi;
			i = 0

		/* signals.go */
		:: !over && fn == fInterruptNow ->
			settling[t0] = 1;
			T(LEADER,t0).ending = 1;
			T(LEADER,t0).ret = E(t0,x0).ret;
			push(fGoOn, LEADER, t0, A_INTERRUPT)
		:: !over && fn == fLeaderSignal ->
			/* x0: no instruction since the last call returned. */
			T(LEADER,t0).ending = 0;
			i = last(t0);
			if
#if MUTANT == 18
			/* MUTANT 18: what comes behind a call that ended with EINTR is taken for its end. */
			:: settling[t0] && !E(t0,i).interrupted && !x0 && E(t0,i).ret != EINTR ->
#else
			:: settling[t0] && !E(t0,i).interrupted && !x0 ->
#endif
				push(fLeaderSignal, 0, t0, x0);
				push(fSettle, 0, t0, 0)
			:: else ->
				assert(!settling[t0] || !E(t0,i).sig);
				if
				:: ignored && settling[t0] && (E(t0,i).interrupted || E(t0,i).ret == EINTR) ->
					/* The front-end has a call made again only if the task stands behind it. */
					T(LEADER,t0).restarts = (x0 || T(LEADER,t0).restarts);
					if
					:: !E(t0,i).interrupted ->
						/* withdraw */
#if MUTANT != 10
						/* MUTANT 10: the turn of the end of the call stays in the schedule. */
						if
						:: schedLen > 0 && schedT[(schedFirst+schedLen-1)%SCHED] == t0 && schedQ[(schedFirst+schedLen-1)%SCHED] == position(t0) ->
							schedLen--;
							schedT[(schedFirst+schedLen)%SCHED] = 0;
							schedQ[(schedFirst+schedLen)%SCHED] = 0
						:: else
						fi;
#endif
						yield(LEADER,t0);
						E(t0,i).ret = RESTART
					:: else
					fi;
					E(t0,i).interrupted = 1;
					push(fLetGo, LEADER, t0, A_RESUME)
				:: ignored && !(settling[t0] && (E(t0,i).interrupted || E(t0,i).ret == EINTR)) ->
					push(fLetGo, LEADER, t0, A_RESUME)
				:: !ignored && (!settling[t0] || E(t0,i).interrupted && !x0) ->
#if MUTANT != 11
					/* MUTANT 11: a signal that comes between two calls is dropped. */
					pending[t0] = 1;
#endif
					push(fLetGo, LEADER, t0, A_RESUME)
				:: else ->
					E(t0,i).sig = 1; E(t0,i).over = 1;
					T(LEADER,t0).inCall = 0; T(LEADER,t0).ending = 1;
					T(LEADER,t0).ret = E(t0,i).ret;
					/* handle */
					if
					:: live[LEADER] > 1 && runner[LEADER] == t0 && turnT == t0 && turnQ == position(t0) ->
						push(fLetGo, LEADER, t0, A_SIGNAL)
#if MUTANT == 12
					/* A handler starts outside of its thread's turn. */
					:: else -> push(fLetGo, LEADER, t0, A_SIGNAL)
#else
					:: else -> push(fGoOn, LEADER, t0, A_SIGNAL)
#endif
					fi
				fi
			fi;
			i = 0

		/* halt.go */
		:: !over && fn == fLeaderStop ->
			if
			:: T(LEADER,t0).inCall || !room(t0) -> push(fLetGo, LEADER, t0, A_RESUME)
			:: !T(LEADER,t0).inCall && room(t0) && pending[t0] && !T(LEADER,t0).handler ->
				pending[t0] = 0;
				newRecord(t0, SIGNAL);
				x0 = last(t0);
				E(t0,x0).anywhere = 1; E(t0,x0).started = 1; E(t0,x0).sig = 1;
				T(LEADER,t0).ending = 1;
				push(fGoOn, LEADER, t0, A_SIGNAL);
				push(fComplete, 0, t0, x0);
				push(fPublished, 0, t0, x0)
			:: !T(LEADER,t0).inCall && room(t0) && !(pending[t0] && !T(LEADER,t0).handler) && contended(t0) ->
				/* preempt */
				newRecord(t0, PREEMPTED);
				x0 = last(t0);
				E(t0,x0).anywhere = 1; E(t0,x0).wait = 1;
				push(fPublished, 0, t0, x0)
			:: else -> push(fLetGo, LEADER, t0, A_RESUME)
			fi

		/* life.go */
		:: !over && fn == fExited ->
			if
			:: v0 == LEADER ->
				T(LEADER,t0).inCall = 0; held[t0] = 0;
				if
				:: T(LEADER,t0).exits -> push(fTrim, 0, t0, 0)
				:: else ->
					/* leaderKilled */
					if
					:: count[t0] > 0 && !E(t0,last(t0)).done -> E(t0,last(t0)).kind = KILLED
					:: else -> newRecord(t0, KILLED)
					fi;
					x0 = last(t0);
					E(t0,x0).started = 1;
					push(fComplete, 0, t0, x0);
					push(fPublished, 0, t0, x0)
				fi
			:: else ->
				if
				:: !T(v0,t0).exits && (!T(v0,t0).ending || has(v0,t0) && event(v0,t0).kind != KILLED) -> diverge()
				:: else -> push(fSkipDead, v0, t0, 0)
				fi
			fi
		:: !over && fn == fSkipDead ->
			do
			:: has(v0,t0) ->
				x0 = T(v0,t0).next;
				T(v0,t0).next++;
				E(t0,x0).passed++;
				if
				:: !T(v0,t0).met -> E(t0,x0).met++
				:: else
				fi;
				T(v0,t0).met = 0;
				if
				:: isOrder(t0,x0) -> push(fMade, v0, 0, 0)
				:: else
				fi
			:: else -> break
			od;
			push(fTrim, 0, t0, 0)
		/* engine.go: take, when all else is done */
		:: !over && fn == fTake ->
			eachFollower(fEndKilled, 0, 0);
			eachThread(fFreed, 0, 0)
		:: !over && fn == fFreed ->
			if
			:: freed[t0] -> freed[t0] = 0; push(fLeaderCall, 0, t0, 0)
			:: else
			fi
		:: !over && fn == fEndKilled ->
			/* One that stands does for all of the process. */
			if
			:: whole[v0] || behindAny(v0) -> skip
			:: else ->
				i = 0;
				do
				:: i == NT -> break
				:: i < NT && doomed(v0,i) ->
#if MUTANT != 2
					T(v0,0).exits = 1; T(v0,1).exits = 1;
#if NT == 3
					T(v0,2).exits = 1;
#endif
#if MUTANT != 17
					/* MUTANT 17: one that was to keep standing where it is is not killed. */
					T(v0,i).stays = 0;
#endif
					T(v0,i).ready = 0;
					push(fLetGo, v0, i, A_KILL);
					push(fPassed, v0, i, 0);
#endif
					break
				:: i < NT && !doomed(v0,i) -> i++
				od;
				i = 0
			fi
		fi
	od;
	fn = 0; v0 = 0; t0 = 0; x0 = 0; i = 0; taken = 0
}

/* In user mode, or on its way to its end, where the kernel writes into memory too. */
#define inUser(v,t)	(T(v,t).st == USER && !T(v,t).dying || T(v,t).st == KERNEL && T(v,t).dying && T(v,t).call == EXIT && !whole[v])
bit killed;
#ifdef HALTS
byte halts = HALTS;	/* how often a thread is stopped that would come to a call by itself */
#endif

/* At most one thread of a variant runs. */
inline check() {
	assert(over || (users(0) <= 1 && users(1) <= 1));
#if NV == 3
	assert(over || users(2) <= 1)
#endif
}

/* OnSyscall */
inline arrives(v, t) {
	T(v,t).st = ATENTRY;
	printf("%d.%d: call %d\n", v, t, T(v,t).call);
	yield(v,t);
	push(fPump, v, 0, 0);
	if
	:: v == LEADER ->
		push(fLeaderCall, 0, t, 0);
		push(fSettle, 0, t, 0)
	:: else ->
		T(v,t).ending = 0;
		push(fMatch, v, t, 0)
	fi
}

proctype Runs(byte v; byte t) {
	do
	:: atomic {
		if
		:: T(v,t).st == DEAD -> break
		:: over && T(v,t).st != DEAD -> T(v,t).st = DEAD	/* OpEnd */
		:: !over && T(v,t).dying && T(v,t).st != DEAD ->
			/* OnExit */
			T(v,t).st = DEAD;
			printf("%d.%d: gone\n", v, t);
			futex[t] = (v == LEADER -> 0 : futex[t]);
			if
			:: !T(v,t).ended -> T(v,t).ended = 1; leave(v,t)
			:: else
			fi;
			push(fPump, v, 0, 0);
			push(fReached, v, t, 0);
			push(fExited, v, t, 0);
			if
			:: v == LEADER -> push(fSettle, 0, t, 0)
			:: else
			fi
		:: !over && !T(v,t).dying && T(v,t).st == USER && !(v == LEADER && takes(t)) && (T(v,t).handler || T(v,t).again || computed(v,t)) ->
			/* It computes up to its next call. */
			if
			:: T(v,t).handler ->
				note(v, 1+t*32);
				flag[v] = 1; T(v,t).call = SIGRET
			:: !T(v,t).handler && T(v,t).again -> T(v,t).call = T(v,t).again; T(v,t).again = 0
			:: else ->
				note(v, 2+t*32+T(v,t).pc);
				program(v, t);
				T(v,t).res = OK;
#ifdef ATTACK
				if
				:: v != LEADER -> T(v,t).call = OTHER; attacked = 1
				:: true
				fi
#endif
			fi;
			T(v,t).fresh = 0;
			arrives(v, t)
		:: !over && !T(v,t).dying && T(v,t).st == REDO && !takes(t) ->
			T(v,t).restarts = 0; T(v,t).fresh = 0;
			arrives(v, t)
		:: v == LEADER && !over && !T(v,t).dying && (T(v,t).st == USER || T(v,t).st == REDO) && takes(t) ->
			/* OnSignal */
			T(v,t).st = ATSIGNAL;
			printf("%d.%d: signal\n", v, t);
			signal = 0;
			push(fPump, LEADER, 0, 0);
			if
			:: T(v,t).fresh > 0 -> push(fLeaderSignal, 0, t, 1)
			:: T(v,t).fresh < 2 -> T(v,t).fresh = 0; push(fLeaderSignal, 0, t, 0)
			fi
		:: !over && !T(v,t).dying && T(v,t).st == KERNEL && v != LEADER ->
			if
			:: T(v,t).call == SIGRET -> T(v,t).handler = 0
			:: else
			fi;
			T(v,t).st = ATEXIT;
			printf("%d.%d: end of call %d\n", v, t, T(v,t).call);
			push(fPump, v, 0, 0);
			push(fFollowerExit, v, t, 0)
		:: v == LEADER && !over && !T(v,t).dying && T(v,t).st == KERNEL && !blocks(T(v,t).call) ->
			if
			:: T(v,t).call == SIGRET -> T(v,t).handler = 0
			:: T(v,t).call == TGKILL -> signal = 1
			:: T(v,t).call == FWAKE ->
				if
				:: futex[0] == 1 -> futex[0] = 2
				:: futex[1] == 1 -> futex[1] = 2
#if NT == 3
				:: futex[2] == 1 -> futex[2] = 2
#endif
				:: else
				fi
			:: else
			fi;
			T(v,t).st = ATEXIT;
			printf("%d.%d: end of call %d\n", v, t, T(v,t).call);
			push(fPump, LEADER, 0, 0);
			push(fLeaderExit, 0, t, OK)
		:: v == LEADER && !over && !T(v,t).dying && T(v,t).st == KERNEL && T(v,t).call == FWAIT && futex[t] == 0 && word[LEADER] == 2 ->
			futex[t] = 1
		:: v == LEADER && !over && !T(v,t).dying && T(v,t).st == KERNEL && T(v,t).call == FWAIT && (futex[t] == 2 || futex[t] == 0 && word[LEADER] != 2) ->
			T(v,t).st = ATEXIT;
			printf("%d.%d: end of call %d\n", v, t, T(v,t).call);
			push(fPump, LEADER, 0, 0);
			push(fLeaderExit, 0, t, (futex[t] == 2 -> OK : AGAIN));
			futex[t] = 0
		:: v == LEADER && !over && !T(v,t).dying && T(v,t).st == KERNEL && blocks(T(v,t).call) && takes(t) && futex[t] < 2 ->
			futex[t] = 0;
			T(v,t).st = ATEXIT;
			printf("%d.%d: end of call %d\n", v, t, T(v,t).call);
			push(fPump, LEADER, 0, 0);
			push(fLeaderExit, 0, t, (T(v,t).call == POLL -> EINTR : RESTART))
#ifdef HALTS
		/* OnStop: the leader has used up its time, or a follower that of the leader. */
		:: v == LEADER && !over && !T(v,t).dying && T(v,t).st == USER && !takes(t) && room(t) && (pending[t] && !T(v,t).handler || contended(t)) &&
		   (halts > 0 || !T(v,t).handler && !T(v,t).again && !computed(v,t)) ->
			if
			:: !T(v,t).handler && !T(v,t).again && !computed(v,t) -> skip
			:: else -> halts--
			fi;
			T(v,t).st = ATSTOP;
			printf("%d.%d: stop\n", v, t);
			push(fLeaderStop, 0, t, 0);
			push(fSettle, 0, t, 0)
		:: v != LEADER && !over && !T(v,t).dying && T(v,t).st == USER && has(v,t) && event(v,t).anywhere && !T(v,t).met ->
			T(v,t).st = ATSTOP;
			printf("%d.%d: stop\n", v, t);
			push(fMatch, v, t, 0)
#endif
		/* endKilled */
		:: v != LEADER && !over && !T(v,t).dying && T(v,t).st == USER && T(LEADER,t).st == DEAD && has(v,t) && event(v,t).kind == KILLED && !T(v,t).met ->
			printf("%d.%d: computes where the leader was killed\n", v, t);
			T(v,t).met = 1; event(v,t).met++
		fi;
		engine();
		check()
	   }
	od
}

#if NT == 2
#define gone(v)	(T(v,0).st == DEAD && T(v,1).st == DEAD)
#else
#define gone(v)	(T(v,0).st == DEAD && T(v,1).st == DEAD && T(v,2).st == DEAD)
#endif
#if NV == 2
#define allDead	(gone(0) && gone(1))
#else
#define allDead	(gone(0) && gone(1) && gone(2))
#endif

/* All have ended, and all variants have done the same to their memory. */
active proctype Ends() {
	atomic {
		allDead ->
		assert(over || killed || whole[LEADER] || word[1] == word[0] && flag[1] == flag[0] && inside[1] == inside[0]);
		assert(over || killed || whole[LEADER] || word[F] == word[0] && flag[F] == flag[0] && inside[F] == inside[0])
	}
}

/* What comes from outside. */
active proctype Outside() {
	byte handled = HANDLED, skipped = IGNORED;
end:	do
	:: atomic { !over && !killed && handled > 0 && !signal && !T(LEADER,0).exits -> handled--; signal = 1; ignored = 0 }
	:: atomic { !over && !killed && skipped > 0 && !signal && !T(LEADER,0).exits -> skipped--; signal = 1; ignored = 1 }
#ifdef TAKEN
	/* Somebody else of the process gets a signal that has woken thread 0. */
	:: atomic { !over && signal && ignored ->
		signal = 0;
		if
		:: T(LEADER,0).fresh == 2 -> T(LEADER,0).fresh = 1
		:: else
		fi
	   }
#endif
#ifdef KILL
	:: atomic { !over && !killed && T(LEADER,0).st != DEAD -> killed = 1; printf("SIGKILL\n"); killAll(LEADER) }
#endif
#ifdef ABORT
	:: atomic { !over && !allDead -> over = 1; break }
#endif
	od
}

init {
	atomic {
		i = 0;
		do
		:: i < NV -> live[i] = NT; runner[i] = 0; i++
		:: else -> break
		od;
		i = 0;
		/* Thread 0 has made the others, and has had the first turn. */
		start();
	}
}
