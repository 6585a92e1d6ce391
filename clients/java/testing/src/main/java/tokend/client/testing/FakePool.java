package tokend.client.testing;

import io.grpc.StatusRuntimeException;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.SortedSet;
import java.util.TreeSet;
import java.util.UUID;
import tokend.client.ErrorReason;

/** The identities of the one pool, with developer users only. */
final class FakePool {
  private static final int MAX_LINKED_LOGINS = 20;

  private final Map<String, SortedSet<String>> usersById = new HashMap<>();
  private final Map<String, String> idByUser = new HashMap<>();

  synchronized String getOrCreate(String user, String namedId) {
    String owner = idByUser.get(user);
    if (namedId.isEmpty()) {
      return owner != null ? owner : link(user, newId());
    }
    if (users(namedId).isEmpty()) {
      throw refusal(ErrorReason.NOT_AUTHORIZED, "Access to Identity '" + namedId + "' is forbidden.");
    }
    if (owner != null && !owner.equals(namedId)) {
      throw refusal(
          ErrorReason.DEVELOPER_USER_ALREADY_REGISTERED, "This developer user identifier is already registered with Cognito.");
    }
    return link(user, namedId);
  }

  /** Returns the identity by its id or by its user. If both are given, the user must belong to the identity. */
  synchronized String find(String id, String user) {
    if (id.isEmpty()) {
      return owner(user);
    }
    if (!user.isEmpty() && !users(id).contains(user)) {
      throw refusal(
          ErrorReason.RESOURCE_CONFLICT, "The identity and the developer user do not belong together.");
    }
    users(id);
    return id;
  }

  /** Returns the users of an identity after a given one, sorted; all if it is empty. */
  synchronized List<String> usersOf(String id, String after) {
    return users(id).stream().filter(user -> user.compareTo(after) > 0).toList();
  }

  synchronized String merge(String source, String destination) {
    String from = owner(source);
    String to = owner(destination);
    if (!from.equals(to)) {
      List<String> moving = usersOf(from, "");
      checkRoom(to, moving.size());
      users(from).clear();
      moving.forEach(user -> link(user, to));
    }
    return to;
  }

  synchronized void unlink(String id, String user) {
    if (!users(id).contains(user)) {
      // A user of another identity is a conflict; an unknown user is not found.
      owner(user);
      throw refusal(ErrorReason.RESOURCE_CONFLICT, "A login is already linked to another identity.");
    }
    users(id).remove(user);
    idByUser.remove(user);
  }

  private String newId() {
    String id = FakeTokendServer.IDENTITY_POOL_ID.replaceFirst(":.*", ":") + UUID.randomUUID();
    usersById.put(id, new TreeSet<>());
    return id;
  }

  private String link(String user, String id) {
    if (!users(id).contains(user)) {
      checkRoom(id, 1);
      users(id).add(user);
      idByUser.put(user, id);
    }
    return id;
  }

  private void checkRoom(String id, int more) {
    if (users(id).size() + more > MAX_LINKED_LOGINS) {
      throw Failure.of(ErrorReason.LIMIT_EXCEEDED)
          .withMessage("An identity can have at most " + MAX_LINKED_LOGINS + " linked logins.")
          .withQuotaSubject(id)
          .toException();
    }
  }

  private SortedSet<String> users(String id) {
    SortedSet<String> users = usersById.get(id);
    if (users == null) {
      throw notFound("Identity", id);
    }
    return users;
  }

  private String owner(String user) {
    String owner = idByUser.get(user);
    if (owner == null) {
      throw Failure.of(ErrorReason.RESOURCE_NOT_FOUND)
          .withMessage("Developer user not found in this identity pool.")
          .withResource("DeveloperUser", "")
          .toException();
    }
    return owner;
  }

  static StatusRuntimeException notFound(String type, String id) {
    return Failure.of(ErrorReason.RESOURCE_NOT_FOUND)
        .withMessage(type + " '" + id + "' not found.")
        .withResource(type, id)
        .toException();
  }

  static StatusRuntimeException refusal(ErrorReason reason, String message) {
    return Failure.of(reason).withMessage(message).toException();
  }
}
