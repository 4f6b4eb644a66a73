//go:build linux && amd64

package kvmsandbox_test

import (
	"testing"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/frontend/frontendtest"
)

// A process goes on when its first thread has ended: its memory, its descriptors,
// its forks, and at last another program.
func TestFirstThreadEnds(t *testing.T) {
	machines(t)
	program := compile(t, `
		#define _GNU_SOURCE
		#include <fcntl.h>
		#include <pthread.h>
		#include <stdio.h>
		#include <string.h>
		#include <sys/mman.h>
		#include <sys/syscall.h>
		#include <sys/wait.h>
		#include <unistd.h>
		static char *self;
		static void report(int what, long value) { syscall(SYS_lseek, -77, value, what); }
		static void *other(void *unused) {
			char path[64], stat[256] = "";
			sprintf(path, "/proc/self/task/%d/stat", getpid());
			while (!strstr(stat, ") Z")) {
				int fd = open(path, O_RDONLY);
				long n = read(fd, stat, sizeof stat - 1);
				stat[n > 0 ? n : 0] = 0;
				close(fd);
			}
			report(1, open("/dev/null", O_RDONLY));
			char *p = mmap(0, 1 << 22, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
			for (int i = 0; i < 1 << 22; i += 4096) p[i] = 1;
			int status;
			if (fork() == 0) _exit(3);
			wait(&status);
			report(2, WEXITSTATUS(status));
			execl(self, self, "again", (char *)0);
			return unused;
		}
		int main(int c, char **v) {
			pthread_t t;
			if (c > 1) return 42;
			self = v[0];
			pthread_create(&t, 0, other, 0);
			pthread_exit(0);
		}`, "-pthread")
	m := &frontendtest.Script{}
	first := frontend.Task{}
	m.Start = func(id frontend.Task) []frontend.Action { first = id; return nil }
	m.Report = func(id frontend.Task, what int, value uint64) []frontend.Action {
		if what != 1 {
			return nil
		}
		if id == first || m.Alive[first] {
			t.Errorf("%v reports, %v lives: %t", id, first, m.Alive[first])
		}
		f, err := m.Host.DupFile(id, int(value))
		if err != nil {
			t.Error(err)
			return nil
		}
		if err := m.Host.CloseFile(f); err != nil {
			t.Error(err)
		}
		if maps, err := m.Host.Mappings(id); err != nil || len(maps) == 0 {
			t.Errorf("%d mappings, %v", len(maps), err)
		}
		return nil
	}
	execs := 0
	m.Exec = func(id, old frontend.Task, _ *frontend.Image) []frontend.Action {
		if execs++; execs == 2 && (id != first || old == first) {
			t.Errorf("%v was %v before its exec, and %v at first", id, old, first)
		}
		return frontendtest.Resume(id)
	}
	if o := run(t, m, 1, program); o.Status.Code != 42 || execs != 2 {
		t.Errorf("outcome %+v, %d programs", o, execs)
	}
	if len(m.Reports[2]) != 1 || m.Reports[2][0] != 3 || len(m.Broken) != 0 || len(m.Alive) != 0 {
		t.Errorf("reports %v, broken %v, alive %v", m.Reports, m.Broken, m.Alive)
	}
}
