package tokend.spring;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;

/** The file that holds the application's user identifier. */
final class UserFile {
  // Editors may put it before UTF-8. With it, the user would be another one.
  private static final String BYTE_ORDER_MARK = "\ufeff";

  private UserFile() {}

  /** The user, without the blanks around; empty where there is none. */
  static String read(Path file) throws IOException {
    String content = Files.readString(file);
    return (content.startsWith(BYTE_ORDER_MARK) ? content.substring(BYTE_ORDER_MARK.length()) : content).strip();
  }
}
