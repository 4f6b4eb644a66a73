# Signals of an interpreter that notes them and looks between its own steps.
use strict;
use warnings;
use POSIX ":sys_wait_h";
use Time::HiRes qw(setitimer ITIMER_VIRTUAL);

$| = 1;
my (%ended, @children);
$SIG{CHLD} = sub { while ((my $p = waitpid(-1, WNOHANG)) > 0) { $ended{$p} = $? >> 8 } };
for my $i (1 .. 5) {
    my $p = fork;
    if (!$p) { select undef, undef, undef, 0.01 * $i; exit $i }
    push @children, $p;
}
select undef, undef, undef, 0.2 until keys %ended == 5;
print join(",", map { $ended{$_} } @children), "\n";

my $n = 0;
$SIG{VTALRM} = sub { $n++ };
setitimer(ITIMER_VIRTUAL, 0.01, 0.01);
# Two that come before it has looked count as one, and where they come differs between variants.
1 while $n < 1;
setitimer(ITIMER_VIRTUAL, 0);
print "computed\n";

$SIG{ALRM} = sub { die "alarm\n" };
eval { alarm 1; 1 while 1 };
print $@;
eval { alarm 1; select undef, undef, undef, 1000 };
print $@;
print `echo a child`;
