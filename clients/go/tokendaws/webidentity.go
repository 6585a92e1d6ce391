// Package tokendaws exchanges tokens of tokend for AWS credentials, by AssumeRoleWithWebIdentity of AWS STS. It is a module
// of its own, so that the client does not depend on the AWS SDK.
package tokendaws

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/arn"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/aws-sdk-go-v2/service/sts/types"
	"github.com/aws/smithy-go"

	tokend "tokend.internal/go"
)

// providerName is by what the SDK says whose credentials are used.
const providerName = "tokend"

// rejections are the error codes by which STS rejects a token, as its API reference has them.
var rejections = []string{
	(&types.InvalidIdentityTokenException{}).ErrorCode(),
	(&types.ExpiredTokenException{}).ErrorCode(),
	(&types.IDPRejectedClaimException{}).ErrorCode(), // which also says that a token has expired, or was revoked
}

// STS is what is needed of a [sts.Client].
type STS interface {
	AssumeRoleWithWebIdentity(
		ctx context.Context, input *sts.AssumeRoleWithWebIdentityInput, opts ...func(*sts.Options),
	) (*sts.AssumeRoleWithWebIdentityOutput, error)
}

// WebIdentityProvider is an [aws.CredentialsProvider] of a role that is assumed with a source's token.
type WebIdentityProvider struct {
	client STS
	source tokend.TokenSource
	input  sts.AssumeRoleWithWebIdentityInput
}

// NewWebIdentityProvider makes a provider of credentials of the role, for use within an [aws.CredentialsCache]. roleARN is
// the role; it has to trust an IAM OpenID Connect provider for tokend's issuer URL with the pool id as its client id.
// sessionName is how CloudTrail shows who uses it. Options change the rest of what STS is asked, such as DurationSeconds.
//
// The operation is not signed: the client needs a region, and no credentials. A cache is for one user; give it no
// [tokend.SourceFunc].
func NewWebIdentityProvider(
	client STS, source tokend.TokenSource, roleARN, sessionName string, opts ...func(*sts.AssumeRoleWithWebIdentityInput),
) *WebIdentityProvider {
	input := sts.AssumeRoleWithWebIdentityInput{RoleArn: &roleARN, RoleSessionName: &sessionName}
	for _, opt := range opts {
		opt(&input)
	}
	return &WebIdentityProvider{client, source, input}
}

// Retrieve implements [aws.CredentialsProvider]. When STS rejects the token, it drops it, if the source is a
// [tokend.Invalidator], and asks once more with a new one.
//
// It fails with what STS answered, or, where there is no token, with what the source fails with; after a rejection with
// both. [errors.As] finds the [*tokend.Error].
func (p *WebIdentityProvider) Retrieve(ctx context.Context) (aws.Credentials, error) {
	token, err := p.token(ctx)
	if err != nil {
		return aws.Credentials{}, err
	}
	credentials, err := p.exchange(ctx, token)
	invalidator, ok := p.source.(tokend.Invalidator)
	if !ok || !rejects(err) {
		return credentials, err
	}
	invalidator.Invalidate(token)
	next, failed := p.token(ctx)
	if failed != nil {
		return aws.Credentials{}, errors.Join(failed, err)
	}
	return p.exchange(ctx, next)
}

func (p *WebIdentityProvider) token(ctx context.Context) (tokend.Token, error) {
	token, err := p.source.Token(ctx)
	if err != nil {
		return tokend.Token{}, fmt.Errorf("no token for AWS: %w", err)
	}
	return token, nil
}

func (p *WebIdentityProvider) exchange(ctx context.Context, token tokend.Token) (aws.Credentials, error) {
	input := p.input
	input.WebIdentityToken = aws.String(token.Value.Reveal())
	output, err := p.client.AssumeRoleWithWebIdentity(ctx, &input)
	if err != nil {
		return aws.Credentials{}, err
	}
	got := output.Credentials
	if got == nil {
		return aws.Credentials{}, errors.New("AWS STS has answered without credentials")
	}
	return aws.Credentials{
		AccessKeyID:     aws.ToString(got.AccessKeyId),
		SecretAccessKey: aws.ToString(got.SecretAccessKey),
		SessionToken:    aws.ToString(got.SessionToken),
		Source:          providerName,
		CanExpire:       true,
		Expires:         aws.ToTime(got.Expiration),
		AccountID:       accountOf(output.AssumedRoleUser),
	}, nil
}

// accountOf is the account of a role, which the endpoints of some services have in their names; empty if it is not known.
func accountOf(user *types.AssumedRoleUser) string {
	if user == nil {
		return ""
	}
	name, err := arn.Parse(aws.ToString(user.Arn))
	if err != nil {
		return ""
	}
	return name.AccountID
}

func rejects(err error) bool {
	var failed smithy.APIError
	return errors.As(err, &failed) && slices.Contains(rejections, failed.ErrorCode())
}
