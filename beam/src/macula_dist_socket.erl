%% The driver under inet_tcp_dist: connections to other nodes as Unix sockets to the local Macula node.
%%
%% On the socket each packet has a length of two bytes before it, as in the distribution handshake, whose packets follow on
%% the same socket. `docs/erlang.md` has the protocol, src/carrier/local-messages.ts its other side.
%%
%% All of this runs before the file server: no `file`, no `filelib`, no `os:find_executable`.
-module(macula_dist_socket).

%% For inet_tcp_dist.
-export([family/0, accept/1, send/2, send/3, recv/3, controlling_process/2, close/1]).
%% For the other modules.
-export([port_of/1, dial/4, attach/2]).

-define(VERSION, 1).
-define(REGISTER, 1).
-define(CONNECT, 2).
-define(ACCEPT, 3).
-define(OK, 0).
-define(DUPLICATE_NAME, 1).

-define(DEFAULT_PORT, 4433).
%% For what the Macula node answers by itself; milliseconds.
-define(ANSWER_TIMEOUT, 5000).

family() -> local.
send(Socket, Packet) -> local_tcp:send(Socket, Packet).
send(Socket, Packet, Options) -> local_tcp:send(Socket, Packet, Options).
recv(Socket, Length, Timeout) -> local_tcp:recv(Socket, Length, Timeout).
controlling_process(Socket, Pid) -> local_tcp:controlling_process(Socket, Pid).
close(Socket) -> local_tcp:close(Socket).

%% The next connection of another node to this one. The Macula node tells macula_dist_node of it; whoever says the token
%% on a new connection gets the bytes.
accept(Listen) ->
    {Token, Port} = macula_dist_node:next_connection(),
    case connect(Port) of
        {ok, Socket} ->
            ok = inet:setopts(Socket, [list]),
            _ = send(Socket, [?VERSION, ?ACCEPT, Token]),
            {ok, Socket};
        {error, _} ->
            %% It has gone, and the one who wanted the connection with it.
            accept(Listen)
    end.

%% A connection to the distribution of `Node`. `Progress` is called when it takes longer for good reason.
dial(Node, MyNode, SetupTime, Progress) ->
    case way_out(Node, MyNode, Progress) of
        {ok, Socket} ->
            %% We want to hear why before net_kernel loses its patience.
            Timeout = max(SetupTime - 500, SetupTime div 2),
            Request = [?VERSION, ?CONNECT, <<Timeout:32>>, name(Node), name(MyNode)],
            case request(Socket, Request, SetupTime) of
                {ok, _} ->
                    ok = inet:setopts(Socket, [list]),
                    {ok, Socket};
                {refused, _, Reason} -> {error, Reason};
                {error, closed} -> {error, "the Macula node has closed the connection"};
                {error, Reason} -> {error, Reason}
            end;
        {error, Reason} -> {error, Reason}
    end.

%% A connection to a Macula node: the one that `MyNode` belongs to. A node that nobody can dial (`-dist_listen false`, a
%% remote shell) belongs to none: it is content with the one that its target may be attached to, and starts one at last.
way_out(Node, MyNode, Progress) ->
    Port = port_of(MyNode),
    case {connect(Port), macula_dist_node:is_registered()} of
        {{ok, Socket}, _} -> {ok, Socket};
        %% macula_dist_node is about to find or start it.
        {{error, _}, true} -> connect(Port);
        {{error, _}, false} ->
            case connect(port_of(Node)) of
                {ok, Socket} -> {ok, Socket};
                {error, _} ->
                    Progress(),
                    case macula_dist_starter:start(Port) of
                        ok -> connect(Port);
                        Error -> Error
                    end
            end
    end.

%% Makes `Node` known at the Macula node of its port. The connection lasts as long as that: when one ends, so does the
%% other. The Macula node may be `managed`, that is, started by one of us.
attach(Node, Port) ->
    case connect(Port) of
        {ok, Socket} ->
            case request(Socket, [?VERSION, ?REGISTER, name(Node)], ?ANSWER_TIMEOUT) of
                {ok, <<Managed:8>>} -> {ok, Socket, Managed =:= 1};
                {refused, ?DUPLICATE_NAME, _} -> {error, duplicate_name};
                {refused, _, Reason} -> {error, Reason};
                %% It was about to end, or has just been killed.
                {error, closed} -> no_node;
                {error, Reason} -> {error, Reason};
                _ -> {error, "the Macula node is of another version"}
            end;
        {error, _} -> no_node
    end.

request(Socket, Request, Timeout) ->
    _ = send(Socket, Request),
    case recv(Socket, 0, Timeout) of
        {ok, <<?OK, Rest/binary>>} -> {ok, Rest};
        {ok, <<Code, Reason/binary>>} ->
            close(Socket),
            {refused, Code, text(Reason)};
        {error, timeout} ->
            close(Socket),
            {error, "the Macula node does not answer"};
        _ ->
            close(Socket),
            {error, closed}
    end.

connect(Port) ->
    Path = macula_dist_starter:socket_path(Port),
    %% With delay_send messages that are sent at once share a system call, and a buffer in the kernel, where a Unix socket has
    %% one for each write: that doubles the rate of small ones. A message sent alone is not slower.
    Options = [binary, {active, false}, {packet, 2}, {delay_send, true}],
    try local_tcp:connect({local, Path}, 0, Options, ?ANSWER_TIMEOUT) of
        {ok, Socket} -> {ok, Socket};
        {error, Reason} ->
            {error, lists:flatten(io_lib:format("no Macula node listens at ~ts (~ts)", [Path, inet:format_error(Reason)]))}
    catch
        %% A path that is too long for a socket.
        exit:badarg -> {error, lists:flatten(io_lib:format("~ts is too long for a socket: choose a shorter MACULA_HOME", [Path]))}
    end.

%% The UDP port that a node name stands for: what follows the last colon of its host.
port_of(Node) when is_atom(Node) ->
    port_of(atom_to_list(Node));
port_of(Node) ->
    case string:split(Node, "@", all) of
        [[_ | _], [_ | _] = Host] ->
            %% As long as it is sent. An atom may have more bytes than characters.
            case byte_size(unicode:characters_to_binary(Node)) of
                Size when Size < 256 -> port_of_host(Host);
                _ -> error
            end;
        _ -> error
    end.

port_of_host(Host) ->
    case string:split(Host, ":", all) of
        [_] -> ?DEFAULT_PORT;
        [[_ | _], Port] -> port_number(Port);
        %% IPv6, with a port when it is in brackets.
        Parts ->
            case {hd(Host), string:split(Host, "]", trailing)} of
                {$[, [_, ":" ++ Port]} -> port_number(Port);
                {$[, [_, ""]} -> ?DEFAULT_PORT;
                {$[, _} -> error;
                _ when length(Parts) > 2 -> ?DEFAULT_PORT;
                _ -> error
            end
    end.

port_number(Text) ->
    try list_to_integer(Text) of
        Port when Port > 0, Port < 65536 -> Port;
        _ -> error
    catch
        error:badarg -> error
    end.

name(Node) when is_atom(Node) ->
    name(atom_to_list(Node));
name(Node) ->
    Bytes = unicode:characters_to_binary(Node),
    [byte_size(Bytes), Bytes].

text(Bytes) ->
    case unicode:characters_to_list(Bytes) of
        Text when is_list(Text) -> Text;
        _ -> binary_to_list(Bytes)
    end.
