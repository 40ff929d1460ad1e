%% Both ends of OTP's gen_server for test/peers/gen-server.test.ts, without a distribution: messages go over as terms.
%% A packet is a letter and a term. Answers are terms.
-module(gen_server_peer).
-behaviour(gen_server).
-export([main/0, init/1, handle_call/3, handle_cast/2]).

main() ->
    Port = open_port({fd, 0, 1}, [binary, {packet, 4}]),
    loop(Port, undefined, undefined).

%% Proxy stands for a server that lives in TypeScript, Caller runs a function of OTP on it.
loop(Port, Proxy, Caller) ->
    receive
        {Port, {data, <<Letter, Bytes/binary>>}} ->
            {Answer, NewProxy, NewCaller} =
                try answer(Letter, binary_to_term(Bytes), Proxy, Caller)
                catch Class:Reason:Stack ->
                    io:format(standard_error, "~p ~p ~p~n", [Class, Reason, Stack]),
                    halt(1)
                end,
            port_command(Port, term_to_binary(Answer)),
            loop(Port, NewProxy, NewCaller);
        {'EXIT', Port, _} -> halt(0);
        _ -> loop(Port, Proxy, Caller)
    end.

%% What M:F(Proxy, ...) sends to a server.
answer($s, {Module, Function, Arguments}, _, _) ->
    Proxy = spawn(fun proxy/0),
    Caller = spawn(fun() -> caller(Module, Function, [Proxy | Arguments]) end),
    {ask(Proxy, next), Proxy, Caller};
%% What the caller makes of an answer, when the server then ends with Reason, or goes on.
answer($a, {Message, End}, Proxy, Caller) ->
    Caller ! Message,
    case End of
        {ends, Reason} -> Proxy ! {exit, Reason};
        goes_on -> ok
    end,
    {ask(Caller, result), Proxy, Caller};
%% What a real gen_server answers to a message from TypeScript, or how it ends. The asker lives there: its pid is
%% replaced by one that is here, its tag stays.
answer($c, {Tag, {Pid, Ref}, Request}, _, _) when is_pid(Pid) ->
    {ok, Server} = gen_server:start(?MODULE, [], []),
    Monitor = monitor(process, Server),
    Server ! {Tag, {self(), Ref}, Request},
    Reply = receive {Ref, _} = Message -> Message end,
    End = case Request of
              {terminate, _} -> receive {'DOWN', Monitor, _, _, Reason} -> {ends, Reason} end;
              _ -> goes_on
          end,
    {{Reply, End}, undefined, undefined};
%% What a real gen_server holds after a cast from TypeScript.
answer($n, Cast, _, _) ->
    {ok, Server} = gen_server:start(?MODULE, [], []),
    Server ! Cast,
    {gen_server:call(Server, last_cast), undefined, undefined}.

ask(Process, Question) ->
    Process ! {self(), Question},
    receive {Process, Answer} -> Answer end.

%% Keeps what it gets until it is asked for.
proxy() ->
    receive
        {exit, Reason} -> exit(Reason);
        {Asker, next} when is_pid(Asker) ->
            receive
                Message when element(1, Message) =:= '$gen_call';
                             element(1, Message) =:= '$gen_cast';
                             element(1, Message) =:= system -> Asker ! {self(), Message}
            end
    end,
    proxy().

caller(Module, Function, Arguments) ->
    Result = try {returned, apply(Module, Function, Arguments)}
             catch Class:Reason -> {Class, Reason}
             end,
    Left = receive {_, result} = Ask -> Ask end,
    {Asker, result} = Left,
    %% What is in the mailbox still, nobody wanted.
    Unwanted = receive Message -> [Message] after 0 -> [] end,
    Asker ! {self(), {Result, Unwanted}}.

init([]) -> {ok, none}.
handle_call(last_cast, _From, Cast) -> {reply, Cast, Cast};
handle_call(Request, _From, Cast) -> {reply, {answered, Request}, Cast}.
handle_cast(Cast, _) -> {noreply, {got, Cast}}.
