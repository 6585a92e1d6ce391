package tokend.conformance;

import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonPrimitive;
import java.util.HashMap;
import java.util.Map;
import java.util.Set;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** The variables of a case, and their expansion in JSON. */
final class Variables {
  private static final Pattern VARIABLE = Pattern.compile("\\$\\{(\\w+)\\}");
  private static final Set<String> REPETITION = Set.of("repeat", "times");

  private final Map<String, String> values;

  Variables(Map<String, String> values) {
    this.values = new HashMap<>(values);
  }

  void put(String name, String value) {
    values.put(name, value);
  }

  JsonElement expand(JsonElement element) {
    if (element.isJsonObject()) {
      return expandObject(element.getAsJsonObject());
    }
    if (element.isJsonArray()) {
      JsonArray expanded = new JsonArray();
      element.getAsJsonArray().forEach(each -> expanded.add(expand(each)));
      return expanded;
    }
    boolean isText = element.isJsonPrimitive() && element.getAsJsonPrimitive().isString();
    return isText ? new JsonPrimitive(expand(element.getAsString())) : element;
  }

  private JsonElement expandObject(JsonObject object) {
    if (object.keySet().equals(REPETITION)) {
      String text = expand(object.get("repeat").getAsString());
      return new JsonPrimitive(text.repeat(object.get("times").getAsInt()));
    }
    JsonObject expanded = new JsonObject();
    object.asMap().forEach((name, value) -> expanded.add(expand(name), expand(value)));
    return expanded;
  }

  private String expand(String text) {
    return VARIABLE.matcher(text).replaceAll(found -> Matcher.quoteReplacement(value(found.group(1))));
  }

  private String value(String name) {
    String value = values.get(name);
    if (value == null) {
      throw new AssertionError("no variable " + name);
    }
    return value;
  }
}
