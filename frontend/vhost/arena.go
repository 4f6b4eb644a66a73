//go:build linux

package vhost

import (
	"errors"
	"fmt"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/multivar/multivar/internal/unix"
)

// blocksSize is the size of all blocks of a variant.
const blocksSize = MaxBlocks * BlockSize

// FilePrefix begins the names of the anonymous files that variants must not open.
const FilePrefix = "multivar-"

// ErrFull is returned (wrapped) when a variant has as many tasks or processes as
// it can have.
var ErrFull = errors.New("no room for another task")

// BellPage is how the tasks of a session wake the monitor. It belongs to the
// session's goroutine.
type BellPage struct {
	fd  int
	mem []byte
}

// NewBell returns a bell. The caller closes it.
func NewBell() (*BellPage, error) {
	fd, mem, err := sharedFile("bell", PageSize, PageSize)
	if err != nil {
		return nil, fmt.Errorf("bell: %w", err)
	}
	return &BellPage{fd: fd, mem: mem}, nil
}

// FD is the bell's descriptor.
func (b *BellPage) FD() int { return b.fd }

// Close releases the bell.
func (b *BellPage) Close() error { return errors.Join(unix.Unmap(b.mem), unix.Close(b.fd)) }

// Rung returns how often the bell has rung, modulo 1<<32.
func (b *BellPage) Rung() uint32 { return atomic.LoadUint32(unix.Word(b.mem, bellRung)) }

// Ring rings the bell from the monitor's side. It is safe for concurrent use.
func (b *BellPage) Ring() {
	word := unix.Word(b.mem, bellRung)
	atomic.AddUint32(word, 1)
	unix.FutexWake(word)
}

// Wait sleeps until the bell has rung more often than seen says, at most for
// timeout; earlier returns are possible.
func (b *BellPage) Wait(seen uint32, timeout time.Duration) error {
	asleep := unix.Word(b.mem, bellAsleep)
	atomic.StoreUint32(asleep, 1)
	defer atomic.StoreUint32(asleep, 0)
	if b.Rung() != seen {
		return nil
	}
	return unix.FutexWait(unix.Word(b.mem, bellRung), seen, timeout)
}

// Arena is the memory that the monitor shares with the processes of one variant:
// blocks of tasks and regions for what processes share with their virtual
// machines. It belongs to the session's goroutine.
type Arena struct {
	fd      int
	mem     []byte
	region  int64
	blocks  indices
	regions indices
}

// maxRegion bounds the size of a region, so that an arena is a file that can be.
const maxRegion = 1 << 40

// NewArena returns an arena whose regions have regionSize bytes, a multiple of
// PageSize. The caller closes it.
func NewArena(regionSize int64) (*Arena, error) {
	if regionSize <= 0 || regionSize > maxRegion || regionSize%PageSize != 0 {
		return nil, fmt.Errorf("arena: regions of %d bytes: must be a multiple of %d", regionSize, PageSize)
	}
	size := blocksSize + MaxBlocks*regionSize
	fd, mem, err := sharedFile("arena", size, blocksSize)
	if err != nil {
		return nil, fmt.Errorf("memory to talk with variants: %w", err)
	}
	return &Arena{fd: fd, mem: mem, region: regionSize}, nil
}

// sharedFile returns an anonymous file of size bytes whose name ends so, and its beginning in the
// monitor's memory. The error says which limit may be the reason.
func sharedFile(name string, size int64, mapped int) (fd int, mem []byte, err error) {
	if fd, err = unix.FixedFile(FilePrefix+name, size); err != nil {
		return -1, nil, limited(size, err)
	}
	if mem, err = unix.MapShared(fd, 0, mapped); err != nil {
		_ = unix.Close(fd)
		return -1, nil, limited(int64(mapped), err)
	}
	return fd, mem, nil
}

// limited adds to the error of a file of size bytes, or of its mapping, which limit may be
// the reason, if one may be.
func limited(size int64, err error) error {
	option := ""
	switch {
	case errors.Is(err, syscall.ENOMEM):
		option = "-v"
	case errors.Is(err, syscall.EFBIG):
		option = "-f"
	default:
		return err
	}
	return fmt.Errorf("%w: it takes %d MiB, for which ulimit %s is too low", err, (size+1<<20-1)>>20, option)
}

// FD is the arena's descriptor.
func (a *Arena) FD() int { return a.fd }

// Close releases the arena. Its blocks and regions must not be used any more.
func (a *Arena) Close() error { return errors.Join(unix.Unmap(a.mem), unix.Close(a.fd)) }

// NewBlock returns an unused block, zeroed. The error wraps ErrFull.
func (a *Arena) NewBlock() (*Block, error) {
	i, ok := a.blocks.take()
	if !ok {
		return nil, fmt.Errorf("block: %w", ErrFull)
	}
	b := &Block{index: i, mem: a.mem[i*BlockSize : (i+1)*BlockSize : (i+1)*BlockSize]}
	clear(b.mem[:Large])
	return b, nil
}

// FreeBlock takes back a block whose task is gone.
func (a *Arena) FreeBlock(b *Block) {
	_ = unix.PunchHole(a.fd, int64(b.index)*BlockSize, BlockSize)
	a.blocks.give(b.index)
}

// Region is a part of an arena.
type Region struct {
	// Mem is the monitor's mapping of it, Offset its place in the arena's file.
	Mem    []byte
	Offset int64
	index  int
}

// NewRegion returns an unused region, zeroed. The error wraps ErrFull.
func (a *Arena) NewRegion() (*Region, error) {
	i, ok := a.regions.take()
	if !ok {
		return nil, fmt.Errorf("region: %w", ErrFull)
	}
	r := &Region{Offset: blocksSize + int64(i)*a.region, index: i}
	var err error
	if r.Mem, err = unix.MapShared(a.fd, r.Offset, int(a.region)); err != nil {
		a.regions.give(i)
		return nil, fmt.Errorf("region: %w", err)
	}
	return r, nil
}

// FreeRegion takes back a region that no process has mapped any more.
func (a *Arena) FreeRegion(r *Region) {
	_ = unix.Unmap(r.Mem)
	_ = unix.PunchHole(a.fd, r.Offset, a.region)
	a.regions.give(r.index)
}

// indices hands out numbers from 0 to MaxBlocks-1.
type indices struct {
	next int
	free []int
}

func (x *indices) take() (int, bool) {
	if n := len(x.free); n > 0 {
		i := x.free[n-1]
		x.free = x.free[:n-1]
		return i, true
	}
	if x.next == MaxBlocks {
		return 0, false
	}
	x.next++
	return x.next - 1, true
}

func (x *indices) give(i int) { x.free = append(x.free, i) }
