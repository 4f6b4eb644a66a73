package servers

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"time"
)

// patience is how long clients wait for an answer before they give up.
const patience = time.Minute

// load is a number of clients that each have a connection to one server, over which they
// send one request after the other. It belongs to one goroutine.
type load struct {
	server Server
	port   int
	// answer is the length of an answer in bytes.
	answer int
	epoll  int
	conns  []*conn
}

// conn is a client. left is how much of an answer it waits for.
type conn struct {
	fd   int
	file *os.File
	left int
}

// connect connects clients to a server.
func connect(s Server, port, clients int) (*load, error) {
	l := &load{server: s, port: port, epoll: -1}
	var err error
	if l.answer, err = l.firstAnswer(); err != nil {
		return nil, err
	}
	if l.epoll, err = syscall.EpollCreate1(syscall.EPOLL_CLOEXEC); err != nil {
		return nil, fmt.Errorf("epoll: %w", err)
	}
	for range clients {
		l.conns = append(l.conns, &conn{})
	}
	return l, nil
}

// firstAnswer makes the first requests and returns the length of an answer.
func (l *load) firstAnswer() (int, error) {
	c, err := net.Dial("tcp", l.address())
	if err != nil {
		return 0, err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		return 0, err
	}
	buffer := make([]byte, 64<<10)
	if l.server.Setup != "" {
		if _, err := io.WriteString(c, l.server.Setup); err != nil {
			return 0, err
		}
		if _, err := c.Read(buffer); err != nil {
			return 0, fmt.Errorf("setup: %w", err)
		}
	}
	if _, err := io.WriteString(c, l.server.Request); err != nil {
		return 0, err
	}
	for n := 0; n < len(buffer); {
		k, err := c.Read(buffer[n:])
		if err != nil {
			return 0, fmt.Errorf("first answer: %w", err)
		}
		n += k
		if size, ok := answerLength(buffer[:n]); ok && n >= size {
			if !bytes.HasPrefix(buffer, []byte(l.server.Answer)) || n > size {
				return 0, fmt.Errorf("first answer is %.60q", buffer[:n])
			}
			return size, nil
		}
	}
	return 0, errors.New("the first answer is too long")
}

// answerLength returns the length of the answer of which p is a beginning, false when that
// cannot be told yet.
func answerLength(p []byte) (int, bool) {
	if !bytes.HasPrefix(p, []byte("HTTP/")) {
		return len(p), bytes.HasSuffix(p, []byte("\r\n"))
	}
	head, _, ok := bytes.Cut(p, []byte("\r\n\r\n"))
	if !ok {
		return 0, false
	}
	length := 0
	for line := range bytes.Lines(head) {
		name, value, _ := bytes.Cut(line, []byte(":"))
		if bytes.EqualFold(name, []byte("Content-Length")) {
			if _, err := fmt.Sscan(string(value), &length); err != nil {
				return 0, false
			}
		}
	}
	return len(head) + len("\r\n\r\n") + length, true
}

func (l *load) address() string { return fmt.Sprintf("127.0.0.1:%d", l.port) }

// open connects client i anew.
func (l *load) open(i int) error {
	if c := l.conns[i]; c.file != nil {
		_ = c.file.Close()
	}
	d, err := net.Dial("tcp", l.address())
	if err != nil {
		return err
	}
	defer d.Close()
	tcp, ok := d.(*net.TCPConn)
	if !ok {
		return fmt.Errorf("%v is no TCP connection", d.LocalAddr())
	}
	file, err := tcp.File()
	if err != nil {
		return err
	}
	c := l.conns[i]
	c.file, c.fd, c.left = file, int(file.Fd()), 0
	if err := syscall.SetNonblock(c.fd, true); err != nil {
		return err
	}
	return syscall.EpollCtl(l.epoll, syscall.EPOLL_CTL_ADD, c.fd, &syscall.EpollEvent{Events: syscall.EPOLLIN, Fd: int32(i)})
}

func (l *load) close() {
	for _, c := range l.conns {
		if c.file != nil {
			c.file.Close()
		}
	}
	if l.epoll >= 0 {
		syscall.Close(l.epoll)
	}
}

// run keeps all clients busy for d and returns how many answers came, and in what time: all have
// come then.
func (l *load) run(d time.Duration) (answers int, took time.Duration, err error) {
	// Some servers answer only so many requests on one connection.
	for i := range l.conns {
		if err := l.open(i); err != nil {
			return 0, 0, err
		}
	}
	request := []byte(l.server.Request)
	start := time.Now()
	for i := range l.conns {
		if err := l.send(i, request); err != nil {
			return 0, 0, err
		}
	}
	var events [64]syscall.EpollEvent
	buffer := make([]byte, 64<<10)
	busy, ending := len(l.conns), false
	for busy > 0 {
		n, err := syscall.EpollWait(l.epoll, events[:], int(patience/time.Millisecond))
		switch {
		case err == syscall.EINTR:
			continue
		case err != nil:
			return 0, 0, fmt.Errorf("epoll: %w", err)
		case n == 0:
			return 0, 0, fmt.Errorf("no answer in %v", patience)
		}
		ending = ending || time.Since(start) >= d
		for _, e := range events[:n] {
			done, err := l.receive(int(e.Fd), buffer)
			if err != nil {
				return 0, 0, err
			}
			if !done {
				continue
			}
			answers++
			if ending {
				busy--
			} else if err := l.send(int(e.Fd), request); err != nil {
				return 0, 0, err
			}
		}
	}
	return answers, time.Since(start), nil
}

// send has client i make a request.
func (l *load) send(i int, request []byte) error {
	c := l.conns[i]
	c.left = l.answer
	if n, err := syscall.Write(c.fd, request); err != nil || n < len(request) {
		return fmt.Errorf("request: %d bytes sent: %w", n, err)
	}
	return nil
}

// receive takes what there is for client i. It is true when that was the end of an answer.
func (l *load) receive(i int, buffer []byte) (bool, error) {
	c := l.conns[i]
	n, err := syscall.Read(c.fd, buffer)
	switch {
	case err == syscall.EAGAIN:
		return false, nil
	case err != nil:
		return false, fmt.Errorf("answer: %w", err)
	case n == 0:
		return false, errors.New("the server has closed a connection")
	case c.left == l.answer && !bytes.HasPrefix(buffer[:n], []byte(l.server.Answer)), n > c.left:
		return false, fmt.Errorf("answer is %.60q", buffer[:n])
	}
	c.left -= n
	return c.left == 0, nil
}
