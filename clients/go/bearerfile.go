package tokend

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"
)

const healthService = "/grpc.health.v1.Health"

// byteOrderMark may precede UTF-8 text in files from some editors.
const byteOrderMark = "\uFEFF"

// bearerToken is the grammar of RFC 6750, section 2.1.
var bearerToken = regexp.MustCompile(`^[A-Za-z0-9._~+/-]+=*$`)

var _ credentials.PerRPCCredentials = bearerFile("")

// bearerFile attaches the token in a file, read again for each call.
type bearerFile string

// GetRequestMetadata implements [credentials.PerRPCCredentials].
func (f bearerFile) GetRequestMetadata(ctx context.Context, uri ...string) (map[string]string, error) {
	if err := requirePrivacy(ctx); err != nil {
		return nil, err
	}
	token, err := f.read()
	if err != nil {
		if len(uri) == 1 && strings.HasSuffix(uri[0], healthService) {
			return nil, nil // a failed health watch would make calls wait without reporting the cause
		}
		return nil, status.Errorf(codes.Unauthenticated, "no token for this call: %v", err)
	}
	return authorization(token), nil
}

// RequireTransportSecurity implements [credentials.PerRPCCredentials].
func (bearerFile) RequireTransportSecurity() bool { return true }

func (f bearerFile) read() (Secret, error) {
	content, err := os.ReadFile(string(f))
	if err != nil {
		return Secret{}, err
	}
	token := strings.TrimSpace(strings.TrimPrefix(string(content), byteOrderMark))
	if !bearerToken.MatchString(token) {
		return Secret{}, fmt.Errorf("%s contains no bearer token", string(f))
	}
	return NewSecret(token), nil
}
