package tokend.conformance;

import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import java.util.HashSet;
import java.util.Optional;
import java.util.Set;

/** The members of a JSON object, each to be taken: what a runner does not know must not pass unseen. */
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

  /** Demands that nothing is left. */
  void end() {
    Set<String> left = new HashSet<>(object.keySet());
    left.removeAll(taken);
    if (!left.isEmpty()) {
      throw new AssertionError("unknown members " + left + " in " + object);
    }
  }
}
