package tokend

import (
	"context"
	"slices"
	"sync/atomic"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// UnaryInterceptor attaches the source's token to outgoing calls as [PerRPCCredentials] does. When the called service
// returns UNAUTHENTICATED and the source is an [Invalidator], it drops that token and retries the call once with a new
// one.
func UnaryInterceptor(source TokenSource) grpc.UnaryClientInterceptor {
	return unaryInterceptor(bearer{source: source, secure: true})
}

// PlaintextUnaryInterceptor is a [UnaryInterceptor] that also sends the token over plaintext; see
// [PlaintextPerRPCCredentials].
func PlaintextUnaryInterceptor(source TokenSource) grpc.UnaryClientInterceptor {
	return unaryInterceptor(bearer{source: source})
}

// StreamInterceptor attaches the source's token to outgoing streams as [PerRPCCredentials] does. When a stream ends
// with UNAUTHENTICATED and the source is an [Invalidator], it drops that token, so that the next stream gets a new one.
// It does not retry the stream, since sent messages cannot be sent again.
func StreamInterceptor(source TokenSource) grpc.StreamClientInterceptor {
	return streamInterceptor(bearer{source: source, secure: true})
}

// PlaintextStreamInterceptor is a [StreamInterceptor] that also sends the token over plaintext; see
// [PlaintextPerRPCCredentials].
func PlaintextStreamInterceptor(source TokenSource) grpc.StreamClientInterceptor {
	return streamInterceptor(bearer{source: source})
}

func unaryInterceptor(credentials bearer) grpc.UnaryClientInterceptor {
	return func(
		ctx context.Context, method string, request, reply any, connection *grpc.ClientConn, invoke grpc.UnaryInvoker,
		opts ...grpc.CallOption,
	) error {
		attached, err := credentials.forCall(ctx)
		if err != nil {
			return err
		}
		opts = append(slices.Clip(opts), grpc.PerRPCCredentials(attached))
		err = invoke(ctx, method, request, reply, connection, opts...)
		if attached.dropIfRejected(err) {
			return invoke(ctx, method, request, reply, connection, opts...)
		}
		return err
	}
}

func streamInterceptor(credentials bearer) grpc.StreamClientInterceptor {
	return func(
		ctx context.Context, description *grpc.StreamDesc, connection *grpc.ClientConn, method string, open grpc.Streamer,
		opts ...grpc.CallOption,
	) (grpc.ClientStream, error) {
		attached, err := credentials.forCall(ctx)
		if err != nil {
			return nil, err
		}
		stream, err := open(ctx, description, connection, method, append(slices.Clip(opts), grpc.PerRPCCredentials(attached))...)
		if err != nil {
			return nil, err
		}
		return attachedStream{stream, attached}, nil
	}
}

type attachedStream struct {
	grpc.ClientStream

	attached bearer
}

// RecvMsg implements [grpc.ClientStream]. It returns the status of a stream that has ended.
func (s attachedStream) RecvMsg(message any) error {
	err := s.ClientStream.RecvMsg(message)
	s.attached.dropIfRejected(err)
	return err
}

// forCall returns the credentials of one call.
func (b bearer) forCall(ctx context.Context) (bearer, error) {
	source, err := sourceOf(ctx, b.source)
	if err != nil {
		return bearer{}, callError(err)
	}
	return bearer{source: source, secure: b.secure, used: &atomic.Pointer[Token]{}}, nil
}

// dropIfRejected drops the token of a call that failed with UNAUTHENTICATED, and reports whether it did.
func (b bearer) dropIfRejected(err error) bool {
	used := b.used.Load()
	if status.Code(err) != codes.Unauthenticated || used == nil {
		return false
	}
	source, ok := b.source.(Invalidator)
	if ok {
		source.Invalidate(*used)
	}
	return ok
}
