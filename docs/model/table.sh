# What check.sh checks; it reads this.
#
#    name            model    flags

good calls           schedule -DPROGRAM=3
good calls-ahead1    schedule -DPROGRAM=3 -DAHEAD=1
good calls-3variants schedule -DPROGRAM=3 -DNV=3 -DAHEAD=1
good exit-abort      schedule -DPROGRAM=6 -DABORT
good futex-abort     schedule -DPROGRAM=1 -DABORT
good calls-attack    schedule -DPROGRAM=3 -DATTACK
good calls-kill      schedule -DPROGRAM=3 -DKILL
good futex           schedule -DPROGRAM=1
good futex-3variants schedule -DPROGRAM=1 -DNV=3 -DAHEAD=1
good futex-signal    schedule -DPROGRAM=1 -DHANDLED=1
good futex-kill      schedule -DPROGRAM=1 -DKILL
good memory          schedule -DPROGRAM=2 -DHALTS=0
good memory-preempt  schedule -DPROGRAM=2 -DHALTS=1 -DUNORDERED
good memory-kill     schedule -DPROGRAM=2 -DHALTS=1 -DUNORDERED -DKILL
good signal          schedule -DPROGRAM=4 -DHANDLED=2
good signal-ignored  schedule -DPROGRAM=4 -DHANDLED=1 -DIGNORED=1
good signal-eintr    schedule -DPROGRAM=4 -DHANDLED=1 -DIGNORED=1 -DWAITS=POLL
good signal-taken    schedule -DPROGRAM=4 -DHANDLED=1 -DIGNORED=2 -DTAKEN -DWAITS=POLL
good signal-computes schedule -DPROGRAM=7 -DHANDLED=1 -DHALTS=1 -DUNORDERED
good tgkill          schedule -DPROGRAM=5
good tgkill-3threads schedule -DPROGRAM=5 -DNT=3 -DAHEAD=1
good exit            schedule -DPROGRAM=6
good exit-kill       schedule -DPROGRAM=6 -DKILL

good merge           merge

good ring            ring -DNR=1 -DSIZE=2 -DRECORDS=4
good ring-3variants  ring
good ring-ahead1     ring -DNR=1 -DSIZE=3 -DRECORDS=4 -DAHEAD=1
good ring-abort      ring -DNR=1 -DRECORDS=3 -DABORT
good ring-die        ring -DNR=1 -DRECORDS=3 -DDIE
good ring-fail       ring -DFAIL

#     name                   error              model    flags
wrong rendezvous-forgotten  'invalid end state'  schedule -DMUTANT=1 -DPROGRAM=3
wrong kill-early            'invalid end state'  schedule -DMUTANT=2 -DPROGRAM=3 -DKILL
wrong exit-early            'assertion violated' schedule -DMUTANT=3 -DPROGRAM=1
wrong room-forgotten        'invalid end state'  schedule -DMUTANT=4 -DPROGRAM=3
wrong order-forgotten       'invalid end state'  schedule -DMUTANT=5 -DPROGRAM=6
wrong follower-impatient    'assertion violated' schedule -DMUTANT=6 -DPROGRAM=1
wrong turn-unrecorded       'assertion violated' schedule -DMUTANT=7 -DPROGRAM=1
wrong outcome-forgotten     'invalid end state'  schedule -DMUTANT=8 -DPROGRAM=1
wrong wait-restarted        'invalid end state'  schedule -DMUTANT=9 -DPROGRAM=4 -DHANDLED=1
wrong turn-not-withdrawn    'assertion violated' schedule -DMUTANT=10 -DPROGRAM=4 -DHANDLED=1 -DIGNORED=1 -DWAITS=POLL
wrong signal-dropped        'invalid end state'  schedule -DMUTANT=11 -DPROGRAM=4 -DHANDLED=1
wrong handler-out-of-turn   'assertion violated' schedule -DMUTANT=12 -DPROGRAM=5
wrong room-too-early        'assertion violated' schedule -DMUTANT=13 -DPROGRAM=3 -DAHEAD=1
wrong killed-ready          'invalid end state'  schedule -DMUTANT=14 -DPROGRAM=3 -DKILL
wrong exit-waits-for-killed 'invalid end state'  schedule -DMUTANT=15 -DPROGRAM=6 -DKILL
wrong preempt-uneven        'invalid end state'  schedule -DMUTANT=16 -DPROGRAM=2 -DHALTS=2 -DUNORDERED
wrong killed-stays          'invalid end state'  schedule -DMUTANT=17 -DPROGRAM=2 -DHALTS=1 -DUNORDERED -DKILL
wrong signal-taken-late     'assertion violated' schedule -DMUTANT=18 -DPROGRAM=4 -DHANDLED=1 -DIGNORED=2 -DTAKEN -DWAITS=POLL
wrong merge-arrives-early   'assertion violated' merge -DMUTANT=1
wrong merge-waits-for-one   'assertion violated' merge -DMUTANT=2
wrong merge-at-once         'assertion violated' merge -DMUTANT=3
wrong merge-place-early     'invalid end state'  merge -DMUTANT=4
wrong ring-look-then-flag   'invalid end state'  ring -DMUTANT=1 -DNR=1
wrong ring-flag-then-tell   'invalid end state'  ring -DMUTANT=2 -DNR=1
wrong ring-word-unchanged   'invalid end state'  ring -DMUTANT=3 -DNR=1
wrong ring-word-read-late   'invalid end state'  ring -DMUTANT=4 -DNR=1
wrong ring-put-kept         'invalid end state'  ring -DMUTANT=5 -DNR=1
wrong ring-room-kept        'invalid end state'  ring -DMUTANT=6 -DNR=1
wrong ring-reader-forgotten 'assertion violated' ring -DMUTANT=7
wrong ring-abort-silent     'invalid end state'  ring -DMUTANT=8 -DNR=1 -DDIE
wrong ring-abort-late       'invalid end state'  ring -DMUTANT=9 -DNR=1 -DDIE
wrong ring-room-early       'assertion violated' ring -DMUTANT=10 -DNR=1
wrong ring-told-early       'assertion violated' ring -DMUTANT=11 -DNR=1
wrong ring-abort-ignored    'invalid end state'  ring -DMUTANT=12 -DNR=1 -DDIE
wrong ring-fault-untold     'invalid end state'  ring -DMUTANT=13 -DNR=1 -DFAIL
wrong ring-done-silent      'invalid end state'  ring -DMUTANT=14 -DNR=1
wrong ring-doze-unwoken   'invalid end state'  ring -DMUTANT=15 -DNR=1
