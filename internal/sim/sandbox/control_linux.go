package sandbox

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// The control socket joins the cloud and a sandbox's first process. The first
// message from inside is controlStarted, or why the sandbox could not be made.
// From then on each message from outside asks for a connection to the agent's
// port; the answer is the connected socket itself, or why there is none. So a
// connection into the sandbox's network costs nobody a copy of its bytes.
const (
	controlStarted = "started"
	controlDial    = "dial"
)

func controlPair() (ours *net.UnixConn, theirs *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("making the sandbox's control socket: %w", err)
	}
	theirs = os.NewFile(uintptr(fds[1]), "control")
	ours, err = controlConn(os.NewFile(uintptr(fds[0]), "control"))
	if err != nil {
		return nil, nil, errors.Join(err, theirs.Close())
	}
	return ours, theirs, nil
}

// controlConn takes the file over.
func controlConn(f *os.File) (*net.UnixConn, error) {
	conn, err := net.FileConn(f)
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("opening the sandbox's control socket: %w", err)
	}
	return conn.(*net.UnixConn), nil
}

// controlLink is the cloud's side.
type controlLink struct {
	mu   sync.Mutex // one request at a time
	conn *net.UnixConn
}

func (l *controlLink) dial(ctx context.Context) (net.Conn, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	// Inside, a dial ends within dialLimit: an answer that is later than that
	// is none, and the link can't be used any more.
	if err := l.conn.SetDeadline(time.Now().Add(2 * dialLimit)); err != nil {
		return nil, fmt.Errorf("dialling the agent: %w", err)
	}
	if _, err := l.conn.Write([]byte(controlDial)); err != nil {
		return nil, fmt.Errorf("dialling the agent: %w", err)
	}
	text, rights := make([]byte, 1024), make([]byte, unix.CmsgSpace(4))
	n, m, _, _, err := l.conn.ReadMsgUnix(text, rights)
	if err != nil {
		_ = l.conn.Close()
		return nil, fmt.Errorf("dialling the agent: %w", err)
	}
	if m == 0 {
		return nil, fmt.Errorf("dialling the agent: %s", text[:n])
	}
	return receive(rights[:m])
}

// receive makes a connection of a passed file descriptor.
func receive(rights []byte) (net.Conn, error) {
	messages, err := unix.ParseSocketControlMessage(rights)
	if err != nil || len(messages) != 1 {
		return nil, fmt.Errorf("dialling the agent: unreadable answer: %w", err)
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		return nil, fmt.Errorf("dialling the agent: unreadable answer: %w", err)
	}
	f := os.NewFile(uintptr(fds[0]), "agent")
	conn, err := net.FileConn(f)
	return conn, errors.Join(err, f.Close())
}

// answerDials is the sandbox's side; it returns when the cloud is gone.
func answerDials(conn *net.UnixConn, port int) {
	buf := make([]byte, 64)
	for {
		if n, err := conn.Read(buf); err != nil || n == 0 {
			return
		}
		text, rights := dialInside(port)
		_, _, err := conn.WriteMsgUnix([]byte(text), rights.message, nil)
		rights.close()
		if err != nil {
			return
		}
	}
}

// passed is a socket on its way out.
type passed struct {
	message []byte
	file    *os.File
}

func (p passed) close() {
	if p.file != nil {
		_ = p.file.Close() // the receiver has its own copy
	}
}

func dialInside(port int) (string, passed) {
	dialer := net.Dialer{Timeout: dialLimit}
	conn, err := dialer.DialContext(context.Background(), "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return err.Error(), passed{}
	}
	defer func() { _ = conn.Close() }() // the copy lives on
	f, err := conn.(*net.TCPConn).File()
	if err != nil {
		return err.Error(), passed{}
	}
	return "connected", passed{message: unix.UnixRights(int(f.Fd())), file: f}
}
