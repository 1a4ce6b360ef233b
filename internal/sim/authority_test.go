package sim

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// served is a cloud on its own kind of listener.
func served(t *testing.T, c *Cloud) (address string, server *http.Server) {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	secured, err := c.Secure(l)
	if err != nil {
		t.Fatal(err)
	}
	server = &http.Server{Handler: c, ReadHeaderTimeout: 10 * time.Second}
	done := make(chan struct{})
	go func() { defer close(done); _ = server.Serve(secured) }()
	t.Cleanup(func() { _ = server.Close(); <-done; _ = c.Close() })
	return l.Addr().String(), server
}

func trusting(t *testing.T, file string) *http.Client {
	t.Helper()
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(must[[]byte](t)(os.ReadFile(file))) {
		t.Fatalf("%s holds no certificate", file)
	}
	return &http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}}
}

// TestOnePortForHTTPAndHTTPS, by each of the machine's names, for those alone
// who trust the cloud's authority; also after a restart.
func TestOnePortForHTTPAndHTTPS(t *testing.T) {
	dir := t.TempDir()
	var before []byte
	for range 2 {
		c := &Cloud{Dir: dir}
		address, server := served(t, c)
		client := trusting(t, c.AuthorityFile())
		_, port, _ := net.SplitHostPort(address)
		for url, want := range map[string]bool{
			"http://" + address: true, "https://" + address: true, "https://localhost:" + port: true,
		} {
			r := must[*http.Request](t)(http.NewRequestWithContext(t.Context(), http.MethodGet, url+"/.well-known/jwks", nil))
			res, err := client.Do(r)
			if (err == nil) != want {
				t.Fatalf("%s: %v", url, err)
			}
			raw := must[[]byte](t)(io.ReadAll(res.Body))
			if res.Body.Close(); res.StatusCode != 200 || !strings.Contains(string(raw), c.identity.signer.id) || res.ProtoMajor != 1 {
				t.Errorf("%s: %d %s", url, res.StatusCode, raw)
			}
		}
		r := must[*http.Request](t)(http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+address+"/.well-known/jwks", nil))
		if res, err := http.DefaultClient.Do(r); err == nil {
			res.Body.Close()
			t.Error("a client that does not know the authority trusts it")
		}
		info := must[os.FileInfo](t)(os.Stat(filepath.Join(dir, authorityKeyFile)))
		if info.Mode().Perm() != 0o600 {
			t.Errorf("the authority's key has mode %v", info.Mode())
		}
		after := must[[]byte](t)(os.ReadFile(c.AuthorityFile()))
		if strings.Contains(string(after), "PRIVATE") || before != nil && string(before) != string(after) {
			t.Error("the certificate holds a key, or is not that of before the restart")
		}
		before = after
		if err := server.Close(); err != nil {
			t.Fatal(err)
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestAuthorityVouchesForThisMachine and for no other name, whatever it signs.
func TestAuthorityVouchesForThisMachine(t *testing.T) {
	authority, key, err := disk{}.newAuthority(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(authority)
	own := must[tls.Certificate](t)(signCertificate(authority, key))
	leaf := must[*x509.Certificate](t)(x509.ParseCertificate(own.Certificate[0]))
	for _, name := range []string{"127.0.0.1", "::1", "localhost"} {
		if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: name}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if authority.MaxPathLen != 0 || !authority.MaxPathLenZero || len(authority.PermittedDNSDomains) != 1 || len(authority.PermittedIPRanges) != 2 {
		t.Errorf("the authority may sign for %v, %v", authority.PermittedDNSDomains, authority.PermittedIPRanges)
	}
}

func TestAuthorityIsWhole(t *testing.T) {
	dir := t.TempDir()
	if _, _, err := (disk{}).openAuthority(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, authorityFile)); err != nil { // a crash between the two
		t.Fatal(err)
	}
	if _, _, err := (disk{}).openAuthority(dir); err != nil {
		t.Errorf("with the key alone: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, authorityFile), []byte("spoilt"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := (disk{}).openAuthority(dir); err == nil {
		t.Error("a spoilt certificate is taken")
	}
}

// TestSilentClients hold up nobody, and end with the listener.
func TestSilentClients(t *testing.T) {
	c := &Cloud{Dir: t.TempDir()}
	address, server := served(t, c)
	var silent []net.Conn
	for range 20 {
		silent = append(silent, must[net.Conn](t)((&net.Dialer{}).DialContext(t.Context(), "tcp", address)))
	}
	r := must[*http.Request](t)(http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address+"/.well-known/jwks", nil))
	res := must[*http.Response](t)(trusting(t, c.AuthorityFile()).Do(r))
	if res.Body.Close(); res.StatusCode != 200 {
		t.Errorf("beside silent clients: %d", res.StatusCode)
	}
	if err := server.Close(); err != nil {
		t.Fatal(err)
	}
	for _, conn := range silent {
		if err := conn.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Read(make([]byte, 1)); err == nil || os.IsTimeout(err) {
			t.Errorf("a silent connection outlives the listener: %v", err)
		}
		_ = conn.Close() // closed already
	}
}

// TestEnvironmentNamesTheAuthority: where the cloud is served by HTTPS, its
// administrators and jobs are told so.
func TestEnvironmentNamesTheAuthority(t *testing.T) {
	c := &Cloud{Dir: t.TempDir()}
	address, _ := served(t, c)
	env := must[JobState](t)(c.startJob(Job{Repository: "acme/agents"}, address)).Environ
	if env["AWS_ENDPOINT_URL"] != "http://"+address || env["AWS_ENDPOINT_URL_STS"] != "http://"+address ||
		env["AWS_ENDPOINT_URL_BEDROCK_AGENTCORE"] != "https://"+address || env["AWS_CA_BUNDLE"] != c.AuthorityFile() || env["NODE_EXTRA_CA_CERTS"] != c.AuthorityFile() {
		t.Errorf("a job sees %v", env)
	}
	plain, _, _ := openCloud(t, nil)
	env = must[JobState](t)(plain.startJob(Job{Repository: "acme/agents"}, address)).Environ
	if env["AWS_ENDPOINT_URL_BEDROCK_AGENTCORE"] != "" || env["AWS_CA_BUNDLE"] != "" {
		t.Errorf("without HTTPS, a job sees %v", env)
	}
}
