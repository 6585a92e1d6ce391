package tokend

import (
	"crypto/tls"
	"fmt"
	"sync/atomic"
)

// ClientCertificate is a [tls.Config.GetClientCertificate] that shows the certificate in a PEM file, with its key from
// another, and reads both again for each connection. Files that cannot be used, such as in the middle of a renewal, leave
// the last certificate in place.
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
