package sim

import (
	"crypto/tls"
	"io"
	"net"
	"sync"
	"time"
)

// sniffLimit is how long a client may take for its first byte.
const sniffLimit = 10 * time.Second

// tlsHandshake is the first byte of a TLS connection, and of no HTTP request.
const tlsHandshake = 0x16

// mixedListener accepts HTTP and HTTPS on one port: the first byte tells them
// apart. A client that sends none holds up nobody else.
type mixedListener struct {
	net.Listener
	config   *tls.Config
	accepted chan accept
	closed   chan struct{}
	close    sync.Once

	mu      sync.Mutex
	waiting map[net.Conn]struct{} // for their first byte
}

type accept struct {
	conn net.Conn
	err  error
}

func newMixedListener(l net.Listener, config *tls.Config) *mixedListener {
	m := &mixedListener{Listener: l, config: config, accepted: make(chan accept), closed: make(chan struct{}),
		waiting: make(map[net.Conn]struct{})}
	go m.run()
	return m
}

func (m *mixedListener) run() {
	for {
		conn, err := m.Listener.Accept()
		if err != nil {
			if !m.hand(accept{err: err}) {
				return
			}
			continue
		}
		if m.wait(conn) {
			go m.sniff(conn)
		}
	}
}

// hand gives Accept its result; false once the listener is closed.
func (m *mixedListener) hand(a accept) bool {
	select {
	case m.accepted <- a:
		return true
	case <-m.closed:
		return false
	}
}

// wait keeps a connection in sight until its first byte has come.
func (m *mixedListener) wait(conn net.Conn) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.waiting == nil { // closed
		_ = conn.Close() // nobody has used it
		return false
	}
	m.waiting[conn] = struct{}{}
	return true
}

func (m *mixedListener) sniff(conn net.Conn) {
	first := make([]byte, 1)
	err := conn.SetReadDeadline(time.Now().Add(sniffLimit))
	if err == nil {
		_, err = conn.Read(first)
	}
	if err == nil {
		err = conn.SetReadDeadline(time.Time{})
	}
	m.mu.Lock()
	delete(m.waiting, conn)
	m.mu.Unlock()
	if err != nil {
		_ = conn.Close() // it has said nothing
		return
	}
	var known net.Conn = &begunConn{Conn: conn, first: first}
	if first[0] == tlsHandshake {
		known = tls.Server(known, m.config)
	}
	if !m.hand(accept{conn: known}) {
		_ = conn.Close() // nobody has seen it
	}
}

// Accept waits for a connection whose kind is known: a *tls.Conn or a plain
// one.
func (m *mixedListener) Accept() (net.Conn, error) {
	select {
	case a := <-m.accepted:
		return a.conn, a.err
	case <-m.closed:
		return nil, net.ErrClosed
	}
}

// Close closes the listener, and every connection that Accept has not
// returned.
func (m *mixedListener) Close() error {
	err := m.Listener.Close()
	m.close.Do(func() {
		close(m.closed)
		m.mu.Lock()
		defer m.mu.Unlock()
		for conn := range m.waiting {
			_ = conn.Close() // its reader ends
		}
		m.waiting = nil
	})
	return err
}

// begunConn is a connection of which the first byte has been read.
type begunConn struct {
	net.Conn
	first []byte
}

// Read gives the byte back before the rest.
func (b *begunConn) Read(p []byte) (int, error) {
	if len(b.first) == 0 || len(p) == 0 {
		return b.Conn.Read(p)
	}
	n := copy(p, b.first)
	b.first = b.first[n:]
	return n, nil
}

// ReadFrom lets the kernel copy files to a plain connection.
func (b *begunConn) ReadFrom(r io.Reader) (int64, error) { return io.Copy(b.Conn, r) }
