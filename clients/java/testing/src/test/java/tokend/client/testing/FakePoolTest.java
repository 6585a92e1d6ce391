package tokend.client.testing;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;
import static org.assertj.core.api.Assertions.assertThatIllegalArgumentException;

import io.grpc.Status;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import tokend.client.ErrorReason;
import tokend.client.LookupRequest;
import tokend.client.LookupResult;
import tokend.client.MergeRequest;
import tokend.client.TokendException;
import tokend.client.UnlinkRequest;

/** Identities of users in the fake server. */
class FakePoolTest extends ClientOfFakeServer {
  @Test
  void sameUserHasSameIdentity() {
    assertThat(token("alice").identityId()).isEqualTo(token("alice").identityId()).startsWith("local:");
    assertThat(token("alice").identityId()).isNotEqualTo(token("bob").identityId());
  }

  @Test
  void usersWithUnpairedSurrogatesAreRejected() {
    assertThat(token("bob\ud83d\ude00").identityId()).isNotEqualTo(token("bob?").identityId());
    for (String user : new String[] {"bob\ud83d", "bob\ude00", "bob\ude00\ud83d"}) {
      assertThatIllegalArgumentException().isThrownBy(() -> token(user)).withMessageContaining("logins");
      assertThatExceptionOfType(TokendException.class)
          .isThrownBy(() -> client.tokenCache().token(request(user)))
          .satisfies(failure -> assertThat(failure.code()).isEqualTo(Status.Code.UNKNOWN));
    }
  }

  @Test
  void usersAreLinkedLookedUpMergedAndUnlinked() {
    String alice = token("alice").identityId();
    assertThat(link("alice2", alice).identityId()).isEqualTo(alice);
    String bob = token("bob").identityId();

    assertThat(client.lookupDeveloperIdentity(LookupRequest.ofUser(POOL, "bob")).identityId()).isEqualTo(bob);
    assertThat(client.mergeDeveloperIdentities(new MergeRequest("bob", "alice", PROVIDER, POOL))).isEqualTo(alice);
    assertThat(client.lookupDeveloperIdentity(LookupRequest.ofIdentity(POOL, alice)).developerUserIdentifiers())
        .containsExactly("alice", "alice2", "bob");
    client.unlinkDeveloperIdentity(new UnlinkRequest(alice, POOL, PROVIDER, "bob"));
    assertThat(client.lookupDeveloperIdentity(LookupRequest.ofIdentity(POOL, alice)).developerUserIdentifiers())
        .containsExactly("alice", "alice2");
    assertThat(token("bob").identityId()).isNotEqualTo(bob);
    assertRefused(ErrorReason.NOT_AUTHORIZED, Status.Code.PERMISSION_DENIED, () -> link("carol", bob));
  }

  @Test
  void longLookupsArePaginated() {
    String alice = token("alice").identityId();
    link("alice2", alice);
    link("alice3", alice);
    LookupRequest first = new LookupRequest(POOL, alice, "", 2, "");

    LookupResult page = client.lookupDeveloperIdentity(first);
    assertThat(page.developerUserIdentifiers()).containsExactly("alice", "alice2");
    LookupResult last = client.lookupDeveloperIdentity(first.withNextToken(page.nextToken()));
    assertThat(last.developerUserIdentifiers()).containsExactly("alice3");
    assertThat(last.nextToken()).isEmpty();
  }

  @Test
  void nextPageIsCorrectAfterUnlinks() {
    String alice = token("alice").identityId();
    link("alice2", alice);
    link("alice3", alice);
    LookupRequest first = new LookupRequest(POOL, alice, "", 2, "");

    LookupResult page = client.lookupDeveloperIdentity(first);
    for (String user : page.developerUserIdentifiers()) {
      client.unlinkDeveloperIdentity(new UnlinkRequest(alice, POOL, PROVIDER, user));
    }

    assertThat(client.lookupDeveloperIdentity(first.withNextToken(page.nextToken())).developerUserIdentifiers())
        .containsExactly("alice3");
  }

  @ParameterizedTest
  @ValueSource(strings = {"abc", "-5", "0", "99999999999", "!", "\u00fc"})
  void invalidPageTokenIsRejected(String pageToken) {
    String alice = token("alice").identityId();

    assertRefused(
        ErrorReason.INVALID_PARAMETER,
        Status.Code.INVALID_ARGUMENT,
        () -> client.lookupDeveloperIdentity(new LookupRequest(POOL, alice, "", 1, pageToken)));
  }

  @Test
  void pageTokenIsValidOnlyForItsIdentity() {
    String alice = token("alice").identityId();
    link("alice2", alice);
    String bob = token("bob").identityId();
    LookupRequest first = new LookupRequest(POOL, alice, "", 1, "");
    String pageToken = client.lookupDeveloperIdentity(first).nextToken();

    assertRefused(
        ErrorReason.INVALID_PARAMETER,
        Status.Code.INVALID_ARGUMENT,
        () -> client.lookupDeveloperIdentity(new LookupRequest(POOL, bob, "", 1, pageToken)));
  }

  @Test
  void mergeOfTooManyUsersChangesNothing() {
    String alice = token("alice").identityId();
    String bob = token("bob").identityId();
    for (int i = 2; i <= 11; i++) {
      link("alice" + i, alice);
      link("bob" + i, bob);
    }

    assertRefused(
        ErrorReason.LIMIT_EXCEEDED,
        Status.Code.FAILED_PRECONDITION,
        () -> client.mergeDeveloperIdentities(new MergeRequest("bob", "alice", PROVIDER, POOL)));

    for (String id : List.of(alice, bob)) {
      assertThat(client.lookupDeveloperIdentity(LookupRequest.ofIdentity(POOL, id)).developerUserIdentifiers())
          .hasSize(11);
    }
    assertThat(token("bob2").identityId()).isEqualTo(bob);
  }
}
