// Package test holds the tests of the whole: programs that run natively and then
// under kvmsandbox and must not tell the difference, builds that differ in one
// thing and must be caught, and monitors that die or are misused.
//
// The programs of progs are self-checking; check.h says how they are written.
//
// Environment of a test run:
//
//	MV_REQUIRE_ALL=1    a tool that the machine lacks is a failure instead of a skip
//	MV_REQUIRE_ROOT=1   so is that the tests do not run as root
//	MV_REQUIRE_KVM=1    so is that the machine has no usable /dev/kvm
//	MV_TEST_FRONTEND=NAME  runs everything on this front-end instead of the command's choice
//	MV_TEST_FLAGS=FLAGS  gives them to kvmsandbox in all runs
//	MV_TEST_WIDE=1      runs in every way what else takes turns: flavours of a program, numbers of variants, policies
//	MV_TEST_BUILDS=DIR  keeps the programs that are built there, for other test runs of the same sources
//	MV_KVMSANDBOX=FILE  tests this kvmsandbox instead of building one
//	MV_WATCHDOG=TIME    how long a program may hang before it is described and killed (120s)
//	MV_KEEP=1           keeps the directory that the runs work in, and says where it is
package test
