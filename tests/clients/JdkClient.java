import java.io.BufferedReader;
import java.io.ByteArrayInputStream;
import java.io.InputStreamReader;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.stream.Collectors;

/**
 * Sends requests with the JDK's default client, which prefers HTTP/2 and offers h2c on each new
 * connection.
 *
 * The arguments are the server's URL and an API key. Each line of the input is a request: its kind,
 * its path and its body in base64. Each line of the output is an answer: its status, its version of
 * HTTP and its body in base64.
 */
class JdkClient {
    static final HttpClient CLIENT = HttpClient.newHttpClient();

    public static void main(String[] arguments) throws Exception {
        List<CompletableFuture<HttpResponse<byte[]>>> pending = new ArrayList<>();
        BufferedReader input = new BufferedReader(new InputStreamReader(System.in));
        for (String line = input.readLine(); line != null; line = input.readLine()) {
            String[] words = line.split(" ", -1);
            byte[] body = Base64.getDecoder().decode(words[2]);
            HttpRequest.Builder request = HttpRequest.newBuilder(URI.create(arguments[0] + words[1]))
                .header("Content-Type", "application/json")
                .header("Authorization", "Bearer " + arguments[1]);
            if (words[0].equals("chunks")) {
                request.POST(BodyPublishers.ofInputStream(() -> new ByteArrayInputStream(body)));
            } else {
                request.POST(BodyPublishers.ofByteArray(body));
            }
            if (words[0].equals("expect")) {
                request.expectContinue(true);
            }
            if (words[0].equals("parallel")) {
                pending.add(CLIENT.sendAsync(request.build(), BodyHandlers.ofByteArray()));
            } else if (words[0].equals("lines")) {
                HttpResponse<java.util.stream.Stream<String>> answer =
                    CLIENT.send(request.build(), BodyHandlers.ofLines());
                print(answer, answer.body().collect(Collectors.joining("\n"))
                    .getBytes(StandardCharsets.UTF_8));
            } else {
                HttpResponse<byte[]> answer = CLIENT.send(request.build(), BodyHandlers.ofByteArray());
                print(answer, answer.body());
            }
        }
        for (CompletableFuture<HttpResponse<byte[]>> one : pending) {
            print(one.get(), one.get().body());
        }
    }

    static void print(HttpResponse<?> answer, byte[] body) {
        String encoded = Base64.getEncoder().encodeToString(body);
        System.out.println(answer.statusCode() + " " + answer.version() + " " + encoded);
    }
}
