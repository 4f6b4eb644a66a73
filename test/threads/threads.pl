# Interpreter threads with shared variables.
use strict;
use warnings;
use threads;
use threads::shared;

my $total : shared = 0;
my @queue : shared;
my @workers = map {
    my $k = $_;
    threads->create(sub {
        my $sum = 0;
        $sum += $_ % ($k + 2) for 1 .. 60000;
        lock($total);
        $total += $sum;
        return $sum;
    });
} 0 .. 3;
print join(",", map { $_->join } @workers), " $total\n";

my $taker = threads->create(sub {
    my $got = 0;
    while (1) {
        lock(@queue);
        cond_wait(@queue) until @queue;
        my $n = shift @queue;
        return $got if $n < 0;
        $got += $n;
    }
});
for my $n (1 .. 50, -1) {
    lock(@queue);
    push @queue, $n;
    cond_signal(@queue);
}
print "taken ", $taker->join, "\n";
