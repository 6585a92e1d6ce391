package tokend.spring;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;

/** The file with the application's user identifier. */
final class UserFile {
  // Some editors write it before UTF-8 text. As part of the identifier, it would name another user.
  private static final String BYTE_ORDER_MARK = "\ufeff";

  private UserFile() {}

  /** Returns the user without surrounding whitespace; empty if there is none. */
  static String read(Path file) throws IOException {
    String content = Files.readString(file);
    return (content.startsWith(BYTE_ORDER_MARK) ? content.substring(BYTE_ORDER_MARK.length()) : content).strip();
  }
}
