package tokend

import (
	"crypto/tls"
	"fmt"
	"sync/atomic"
)

// ClientCertificate returns a function for [tls.Config.GetClientCertificate] that loads the certificate and its key
// from PEM files for each connection. If the files cannot be loaded, for example in the middle of a renewal, it returns
// the last certificate.
func ClientCertificate(certificateFile, keyFile string) func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
	var last atomic.Pointer[tls.Certificate]
	return func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		certificate, err := tls.LoadX509KeyPair(certificateFile, keyFile)
		if err == nil {
			last.Store(&certificate)
		}
		if known := last.Load(); known != nil {
			return known, nil
		}
		return nil, fmt.Errorf("tokend: the client certificate: %w", err)
	}
}
