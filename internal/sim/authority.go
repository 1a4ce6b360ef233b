package sim

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"path/filepath"
	"time"
)

// Files of the authority that vouches for the cloud's certificate. The key
// never leaves the state directory.
const (
	authorityFile    = "ca.pem"
	authorityKeyFile = "ca.key"
)

// Lives of the authority and of the certificates that it signs, one at each
// start of the cloud.
const (
	authorityLife   = 10 * 365 * 24 * time.Hour
	certificateLife = 365 * 24 * time.Hour
)

// AuthorityFile is the certificate that clients have to trust to speak to the
// cloud by HTTPS, in PEM: what AWS_CA_BUNDLE names.
func (c *Cloud) AuthorityFile() string {
	path, err := filepath.Abs(filepath.Join(c.Dir, authorityFile))
	if err != nil {
		return filepath.Join(c.Dir, authorityFile)
	}
	return path
}

// Secure makes a listener on which the cloud is served by HTTP and by HTTPS at
// once, with a certificate for this machine's loopback names. Bearer tokens are
// taken by HTTPS alone.
func (c *Cloud) Secure(l net.Listener) (net.Listener, error) {
	if err := c.Open(); err != nil {
		return nil, err
	}
	authority, key, err := c.disk.openAuthority(c.Dir)
	if err != nil {
		return nil, fmt.Errorf("opening the cloud's certificate authority: %w", err)
	}
	certificate, err := signCertificate(authority, key)
	if err != nil {
		return nil, fmt.Errorf("making the cloud's certificate: %w", err)
	}
	c.https.Store(true)
	// HTTP/1.1 alone: an answer that breaks off is told by its connection.
	return newMixedListener(l, &tls.Config{MinVersion: tls.VersionTLS12,
		Certificates: []tls.Certificate{certificate}, NextProtos: []string{"http/1.1"}}), nil
}

// openAuthority reads the authority, or makes it: the key before the
// certificate that everybody reads.
func (d disk) openAuthority(dir string) (*x509.Certificate, *ecdsa.PrivateKey, error) {
	pair, err := tls.LoadX509KeyPair(filepath.Join(dir, authorityFile), filepath.Join(dir, authorityKeyFile))
	if errors.Is(err, fs.ErrNotExist) {
		return d.newAuthority(dir)
	}
	if err != nil {
		return nil, nil, err
	}
	key, ok := pair.PrivateKey.(*ecdsa.PrivateKey)
	if !ok {
		return nil, nil, fmt.Errorf("%s holds no ECDSA key", authorityKeyFile)
	}
	return pair.Leaf, key, nil
}

// newAuthority makes an authority that can vouch for this machine's loopback
// names and nothing else: whoever trusts it trusts it for no other host.
func (d disk) newAuthority(dir string) (*x509.Certificate, *ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: serialNumber(), Subject: pkix.Name{CommonName: "slipway local cloud " + newID(4)},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(authorityLife),
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true, KeyUsage: x509.KeyUsageCertSign,
		PermittedDNSDomainsCritical: true, PermittedDNSDomains: []string{"localhost"},
		PermittedIPRanges: []*net.IPNet{
			{IP: net.IPv4(127, 0, 0, 0).To4(), Mask: net.CIDRMask(8, 32)},
			{IP: net.IPv6loopback, Mask: net.CIDRMask(128, 128)},
		}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, nil, err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, nil, err
	}
	write := func(name, kind string, der []byte) error {
		return d.writeFile(filepath.Join(dir, name), pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	if err = write(authorityKeyFile, "PRIVATE KEY", private); err == nil {
		err = write(authorityFile, "CERTIFICATE", der)
	}
	if err != nil {
		return nil, nil, err
	}
	authority, err := x509.ParseCertificate(der)
	return authority, key, err
}

// signCertificate makes the cloud's own certificate. Its key is in memory alone.
func signCertificate(authority *x509.Certificate, by *ecdsa.PrivateKey) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: serialNumber(), Subject: pkix.Name{CommonName: "localhost"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(certificateLife),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback}}
	der, err := x509.CreateCertificate(rand.Reader, template, authority, key.Public(), by)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, err
}

func serialNumber() *big.Int {
	b := make([]byte, 16)
	rand.Read(b) // never fails: crypto/rand
	b[0] &= 0x7f
	return new(big.Int).SetBytes(b)
}
