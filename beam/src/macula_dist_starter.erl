%% Where the Macula node of a port is found, and how one is started when there is none.
-module(macula_dist_starter).

-export([socket_path/1, start/1]).

%% Starting Node.js takes a second or two, on a busy small machine more. Milliseconds.
-define(START_TIMEOUT, 30000).
%% What is kept of what it says.
-define(OUTPUT_MAX, 4096).

%% The socket on which the Macula node of this UDP port serves its BEAM nodes (src/io/beam/paths.ts).
socket_path(Port) ->
    filename:join([state_dir(), "beam", integer_to_list(Port) ++ ".sock"]).

%% Starts the Macula node of a port, which ends by itself some time after its last BEAM node. When several of us try at
%% once, the UDP port decides, and all get the same one.
start(Port) when is_integer(Port) ->
    %% Below what is shown by default: a script's output is often read by another program.
    logger:info("macula: starting a Macula node for UDP port ~b", [Port]),
    Arguments = program() ++ ["beam", "serve", integer_to_list(Port), "--state-dir", state_dir()],
    %% Through a shell, which looks for programs in PATH.
    Child = open_port({spawn_executable, "/bin/sh"},
                      [{args, ["-c", "exec \"$@\"", "sh" | Arguments]},
                       in, exit_status, stderr_to_stdout, binary, use_stdio, hide]),
    Deadline = erlang:start_timer(?START_TIMEOUT, self(), {macula_start, Child}),
    Result = wait(Child, Deadline, <<>>),
    _ = erlang:cancel_timer(Deadline),
    case Result of
        {0, _} -> ok;
        {127, _} -> failed(Port, [lists:join(" ", program()), " cannot be run: run `macula beam path` again"]);
        {timeout, _} -> failed(Port, ["it did not start within ", integer_to_list(?START_TIMEOUT div 1000), " s"]);
        {_, Output} -> failed(Port, text(string:trim(Output)))
    end;
start(error) ->
    {error, "the node's name ends in a port that is none"}.

failed(Port, Why) ->
    {error, lists:flatten(io_lib:format("no Macula node could be started for UDP port ~b: ~ts", [Port, Why]))}.

text(Bytes) ->
    case unicode:characters_to_list(Bytes) of
        Text when is_list(Text) -> Text;
        _ -> binary_to_list(Bytes)
    end.

wait(Child, Deadline, Output) ->
    receive
        {Child, {data, Data}} when byte_size(Output) < ?OUTPUT_MAX ->
            wait(Child, Deadline, <<Output/binary, Data/binary>>);
        {Child, {data, _}} ->
            wait(Child, Deadline, Output);
        {Child, {exit_status, Status}} ->
            {Status, Output};
        {timeout, Deadline, _} ->
            catch port_close(Child),
            {timeout, Output}
    end.

%% The `macula` command: what `macula beam path` wrote beside us, else the one in PATH.
program() ->
    case facts() of
        #{node := Node, main := Main} -> [Node, Main];
        _ -> ["macula"]
    end.

%% As in Macula itself: MACULA_STATE_DIR, else MACULA_HOME, else the folder that `macula beam path` used.
state_dir() ->
    case {os:getenv("MACULA_STATE_DIR", ""), os:getenv("MACULA_HOME", ""), facts()} of
        {[_ | _] = Dir, _, _} -> Dir;
        {_, [_ | _] = Dir, _} -> Dir;
        {_, _, #{state_dir := Dir}} -> Dir;
        _ -> filename:join(os:getenv("HOME", "/"), ".macula")
    end.

%% The term in macula_dist.facts beside the compiled modules; empty when they were copied without it.
facts() ->
    case persistent_term:get(?MODULE, undefined) of
        undefined ->
            Facts = read_facts(),
            persistent_term:put(?MODULE, Facts),
            Facts;
        Facts -> Facts
    end.

read_facts() ->
    maybe_facts(code:is_loaded(?MODULE)).

maybe_facts({file, [_ | _] = Beam}) ->
    case erl_prim_loader:get_file(filename:join(filename:dirname(Beam), "macula_dist.facts")) of
        {ok, Bytes, _} -> parse_facts(unicode:characters_to_list(Bytes));
        error -> #{}
    end;
maybe_facts(_) ->
    #{}.

parse_facts(Text) ->
    try
        {ok, Tokens, _} = erl_scan:string(Text),
        {ok, Facts} = erl_parse:parse_term(Tokens),
        true = is_map(Facts),
        Facts
    catch
        error:_ -> #{}
    end.
