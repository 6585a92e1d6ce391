package tokend.conformance;

import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import java.util.HashSet;
import java.util.Optional;
import java.util.Set;

/** The members of a JSON object. Each must be read: members that a runner does not know must be reported. */
final class Members {
  private final JsonObject object;
  private final Set<String> taken = new HashSet<>();

  Members(JsonElement element) {
    object = element.getAsJsonObject();
  }

  boolean has(String name) {
    return object.has(name);
  }

  Optional<JsonElement> find(String name) {
    taken.add(name);
    return Optional.ofNullable(object.get(name));
  }

  JsonElement take(String name) {
    return find(name).orElseThrow(() -> new AssertionError("no member " + name + " in " + object));
  }

  String text(String name) {
    return take(name).getAsString();
  }

  Members members(String name) {
    return new Members(take(name));
  }

  /** Fails if a member was not read. */
  void end() {
    Set<String> left = new HashSet<>(object.keySet());
    left.removeAll(taken);
    if (!left.isEmpty()) {
      throw new AssertionError("unknown members " + left + " in " + object);
    }
  }
}
