package sim

import (
	"net/http/httptest"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
)

// startCloud serves a new cloud, whose state lives as long as the test.
func startCloud(t testing.TB) (*Cloud, *httptest.Server) {
	t.Helper()
	c := &Cloud{Dir: t.TempDir(), Warn: func(line string) { t.Log("cloud: " + line) }}
	return c, serveCloud(t, c)
}

// serveCloud serves a cloud that the test has made.
func serveCloud(t testing.TB, c *Cloud) *httptest.Server {
	t.Helper()
	if err := c.Open(); err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(c)
	t.Cleanup(func() {
		srv.Close()
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return srv
}

// kill leaves a cloud as a killed process does: nothing is closed, but the
// kernel lets go of the lock.
func kill(t testing.TB, c *Cloud) {
	t.Helper()
	if err := c.lock.Close(); err != nil {
		t.Fatal(err)
	}
	c.lock = nil
}

// adminConfig is what an administrator of account has in the environment:
// the cloud's address and long-lived keys.
func adminConfig(t testing.TB, srv *httptest.Server, account string) aws.Config {
	t.Helper()
	key, secret, err := srv.Config.Handler.(*Cloud).Administrator(account)
	if err != nil {
		t.Fatal(err)
	}
	return aws.Config{
		Region:           DefaultRegion,
		BaseEndpoint:     aws.String(srv.URL),
		Credentials:      credentials.NewStaticCredentialsProvider(key, secret, ""),
		RetryMaxAttempts: 1,
	}
}
