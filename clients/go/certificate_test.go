package tokend_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"testing"

	"tokend.internal/go"
)

// identity is a client certificate and its key, in files.
type identity struct{ certificateFile, keyFile string }

func newIdentity(t *testing.T) identity {
	directory := t.TempDir()
	i := identity{filepath.Join(directory, "tls.crt"), filepath.Join(directory, "tls.key")}
	i.renew(t)
	return i
}

// renew replaces both files, and returns the new certificate.
func (i identity) renew(t *testing.T) []byte {
	certificate, _ := selfSigned(t)
	key, err := x509.MarshalPKCS8PrivateKey(certificate.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	write(t, i.certificateFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate.Certificate[0]}))
	write(t, i.keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}))
	return certificate.Certificate[0]
}

func write(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestEachConnectionUsesCurrentCertificate(t *testing.T) {
	files := newIdentity(t)
	get := tokend.ClientCertificate(files.certificateFile, files.keyFile)
	for range 2 {
		renewed := files.renew(t)
		shows(t, get, renewed)
	}
}

func TestIncompleteRenewalKeepsLastCertificate(t *testing.T) {
	files := newIdentity(t)
	get := tokend.ClientCertificate(files.certificateFile, files.keyFile)
	last := files.renew(t)
	shows(t, get, last)
	key, err := os.ReadFile(files.keyFile)
	if err != nil {
		t.Fatal(err)
	}
	for name, halfway := range map[string][]byte{"empty": {}, "half": key[:len(key)/2], "another": anotherKey(t)} {
		t.Run(name, func(t *testing.T) {
			write(t, files.keyFile, halfway)
			shows(t, get, last)
		})
	}
}

func TestFirstCertificateRequiresMatchingKey(t *testing.T) {
	files := newIdentity(t)
	write(t, files.keyFile, anotherKey(t))
	if _, err := tokend.ClientCertificate(files.certificateFile, files.keyFile)(nil); err == nil {
		t.Error("no error")
	}
}

func shows(t *testing.T, get func(*tls.CertificateRequestInfo) (*tls.Certificate, error), want []byte) {
	t.Helper()
	certificate, err := get(nil)
	if err != nil {
		t.Fatal(err)
	}
	if string(certificate.Certificate[0]) != string(want) {
		t.Error("another certificate")
	}
}

func anotherKey(t *testing.T) []byte {
	content, err := os.ReadFile(newIdentity(t).keyFile)
	if err != nil {
		t.Fatal(err)
	}
	return content
}
