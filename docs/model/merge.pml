/*
 * Two domains become one because the leader has mapped memory that both share. README.md
 * says what this stands for.
 *
 * Threads 0 and 1 are in domain 0, threads 2 and 3 in domain 1, and make one or two turns.
 * A turn of thread 1 ends with the call that merges. All threads of the leader are in the
 * new domain 2 from then on, with the number of their next turn; followers give turns of
 * the old domains until their threads are there.
 *
 * A turn is: it is given, the thread runs, and its call ends it.
 */
#ifndef MUTANT
#define MUTANT 0
#endif
#define TURNS	2
#define turns(t)	((t) == 0 || (t) == 2 -> 1 : TURNS)

#define NT	4
#define OLD(t)	((t)/2)
#define NEW	2
#define NOBODY	NT
#define SCHED	(NT*TURNS)

/* The leader. */
byte runs[3] = NOBODY;		/* who has its turn in each domain */
byte done[NT];			/* turns that were given */
bit merged;
byte from[NT];			/* the first turn in the new domain */
/* What was chosen, of each domain. */
byte sched[3*SCHED], chosen[3];

/* The follower. */
byte runsF[3] = NOBODY;
byte doneF[NT], next[3];

#define domain(t)	(merged -> NEW : OLD(t))
#define running(t)	(runs[0] == (t) || runs[1] == (t) || runs[2] == (t))
#if MUTANT == 3
/* The leader does not wait for those that ran when it merged. */
#define stoppedOld	true
#else
#define stoppedOld	(runs[0] == NOBODY && runs[1] == NOBODY)
#endif

#define runningF(t)	(runsF[0] == (t) || runsF[1] == (t) || runsF[2] == (t))
/* The follower's thread has done its old turns and stands at a call. */
#if MUTANT == 1
/* It counts as arrived while it runs its last old turn. */
#define arrived(t)	(doneF[t] >= from[t])
#else
#define arrived(t)	(doneF[t] >= from[t] && !(runningF(t)))
#endif
#define allArrived	(arrived(0) && arrived(1) && arrived(2) && arrived(3))
#if MUTANT == 2
/* It looks only at the thread that is to run. */
#define mayF(t)		arrived(t)
#else
#define mayF(t)		allArrived
#endif

/* At most one thread runs in each domain; once they are one, at most one in all. The leader
 * may have two when it merges, which have not seen the memory that they share by then. */
#define count(r)	((r[0] != NOBODY) + (r[1] != NOBODY) + (r[2] != NOBODY))

active [NT] proctype Leader() {
	byte d;
	do
	:: atomic {
		done[_pid] < turns(_pid) && !running(_pid) && runs[domain(_pid)] == NOBODY &&
		(!merged || stoppedOld) ->
		d = domain(_pid);
		runs[d] = _pid;
		assert(d != NEW || count(runs) == 1);
		sched[d*SCHED+chosen[d]] = _pid;
		chosen[d]++;
		done[_pid]++
	   }
	:: atomic {
		running(_pid) ->
		d = (runs[NEW] == _pid -> NEW : OLD(_pid));
		runs[d] = NOBODY;
		if
		:: _pid == 1 && done[1] == 1 ->
			/* mmap: the next turn of each is the first new one. */
			merged = 1;
			from[0] = done[0]; from[1] = done[1]; from[2] = done[2];
#if MUTANT == 4
			/* A thread that runs is taken for one that has its turn yet to come. */
			from[3] = (running(3) -> done[3]-1 : done[3])
#else
			from[3] = done[3]
#endif
		:: else
		fi;
		d = 0
	   }
	:: done[_pid] == turns(_pid) && !running(_pid) -> break
	od
}

#define me	(_pid-NT)
#define isNext(d, t)	(next[d] < chosen[d] && sched[(d)*SCHED+next[d]] == (t))

active [NT] proctype Follower() {
	byte d;
	do
	:: atomic {
		/* a turn of an old domain */
		doneF[me] < turns(me) && !runningF(me) && runsF[OLD(me)] == NOBODY && isNext(OLD(me), me) &&
		!(merged && doneF[me] >= from[me]) ->
		d = OLD(me);
		runsF[d] = me; next[d]++; doneF[me]++; d = 0
	   }
	:: atomic {
		merged && doneF[me] < turns(me) && doneF[me] >= from[me] && !runningF(me) && runsF[NEW] == NOBODY && isNext(NEW, me) && mayF(me) ->
		runsF[NEW] = me;
		assert(count(runsF) == 1);
		next[NEW]++; doneF[me]++
	   }
	:: atomic {
		runningF(me) ->
		if
		:: runsF[NEW] == me -> runsF[NEW] = NOBODY
		:: else -> runsF[OLD(me)] = NOBODY
		fi
	   }
	:: doneF[me] == turns(me) && !runningF(me) -> break
	od
}
